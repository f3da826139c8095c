-- include: playback endings members
if fenced() then return refuse("fenced") end
local s = get_session(args.session_id)
if not s then return cjson.encode({ unknown = true }) end
local r = get_room(args.room_id)
log("event", "add-member", { app = s.app, room = args.room_id, session = s.id, member_id = args.member_id })
if s.room == args.room_id and s.state ~= "joining" and s.member_id == tostring(args.member_id) then
  return cjson.encode({ known = true })
end
if s.room and (s.room ~= args.room_id or s.state ~= "joining") then take_out(s, "kicked") end
if not r or r.closing or r.app ~= s.app then
  -- Too late, or not its own room: out again, whoever put it there.
  if r and s.room then join_failed(r, s, "room_destroyed") end
  send(args.node, "kick", { app = s.app, room = args.room_id, session = s.id, member_id = args.member_id })
  return result({ stray = true })
end
local uid = s.uid
settled(s.node, "join", s.id)
redis.call("SADD", keys.present(r.id), s.id)
redis.call("ZADD", keys.members(r.id), redis.call("HINCRBY", keys.room(r.id), "members_seen", 1), s.id)
clear(keys.session(s.id), s, "uid", "job")
local fields = { room = r.id, member_id = args.member_id }
for name in pairs(FLAGS) do fields[name] = 0 end
for _, name in ipairs(args.flags) do fields[name] = 1 end
set_state(s, "joined", fields)
local data = member_data(r, s)
data.command_uid = uid
tell(r, "conference.member.joined", data)
return result({ joined = true })
