-- Who is in a room: joining -> joined -> leaving -> out, and a room that is being deleted until the last one is out.

local function member_data(r, s)
  return { uuid = s.id, did = s.did, caller_id = s.caller_id, member_id = tonumber(s.member_id), muted = s.muted == "1" }
end

local function set_state(s, state, fields)
  fields = fields or {}
  fields.state = state
  change(K.session(s.id), s, fields)
  log("state", "session." .. state, { app = s.app, room = s.room, session = s.id })
end

local function command_failed(r, s, command, uid, why)
  local data = s and member_data(r, s) or {}
  data.command, data.command_uid, data.reason = command, uid, why
  tell(r, "conference.command.failed", data)
end

local function destroyed(r)
  tell(r, "conference.destroyed", { name = r.name })
  settled(r.node, "close", r.id)
  redis.call("SREM", K.node_rooms(r.node), r.id)
  redis.call("DEL", K.room(r.id), K.members(r.id), K.present(r.id), K.operations(r.id))
  log("state", "room.destroyed", { app = r.app, room = r.id })
end

local function after_departure(r)
  if redis.call("ZCARD", K.members(r.id)) == 0 then drop_operations(r) end
  if r.closing and redis.call("SCARD", K.present(r.id)) == 0 then destroyed(r) end
end

local function release(r, s)
  redis.call("ZREM", K.members(r.id), s.id)
  redis.call("SREM", K.present(r.id), s.id)
  for _, kind in ipairs({ "join", "leave", "mute" }) do settled(s.node, kind, s.id) end
  clear(K.session(s.id), s, "room", "member_id", "muted", "uid", "job", "want", "want_uid", "want_job")
  set_state(s, "parked")
end

-- A wish that the node did not grant, or can no longer.
local function drop_wish(r, s, why)
  if not s.want then return end
  local want, uid = s.want, s.want_uid
  settled(s.node, "mute", s.id)
  clear(K.session(s.id), s, "want", "want_uid", "want_job")
  command_failed(r, s, want, uid, why)
end

local function leave(r, s)
  drop_wish(r, s, "the member left")
  local data = member_data(r, s)
  data.command_uid = s.state == "leaving" and s.uid or nil
  release(r, s)
  tell(r, "conference.member.left", data)
  after_departure(r)
end

local function join_failed(r, s, why)
  local data = member_data(r, s)
  data.command_uid, data.reason = s.uid, why
  release(r, s)
  tell(r, "conference.member.join_failed", data)
  after_departure(r)
end

-- Takes a session out of the room that the store has it in, whatever the state.
local function take_out(s, why)
  local r = s.room and get_room(s.room)
  if not r then return end
  if s.state == "joining" then join_failed(r, s, why) else leave(r, s) end
end

local function muted_event(r, s)
  local data = member_data(r, s)
  local type = s.muted == "1" and "mute" or "unmute"
  if s.want == type then
    data.command_uid = s.want_uid
    settled(s.node, "mute", s.id)
    clear(K.session(s.id), s, "want", "want_uid", "want_job")
  end
  tell(r, "conference.member." .. type .. "d", data)
end
