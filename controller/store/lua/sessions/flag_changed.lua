-- include: playback endings members
-- The node has turned a flag of a member (args.flag) on or off (args.on). It repeats itself for one that was so already.
if fenced() then return refuse("fenced") end
local s = get_session(args.session_id)
local r = s and s.room == args.room_id and s.member_id == tostring(args.member_id) and get_room(s.room)
if not r then return cjson.encode({ unknown = true }) end
local flag = FLAGS[args.flag]
local changed_to = args.on and flag.on or flag.off
log("event", changed_to.action, { app = s.app, room = r.id, session = s.id })
local confirms = s[flag.pending] == changed_to.command
if has_flag(s, flag) == args.on and not confirms then return cjson.encode({ known = true }) end

change(keys.session(s.id), s, { [flag.name] = args.on and 1 or 0 })
local data = member_data(r, s)
if confirms then
  data.command_uid = s[flag.pending_uid]
  forget_pending(s, flag)
end
tell(r, "conference.member." .. changed_to.done, data)
return cjson.encode({ changed = true })
