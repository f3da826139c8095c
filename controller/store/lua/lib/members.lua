-- Who is in a room: joining -> joined -> leaving -> out. A room that was deleted (`closing`) stays until the last one is out.

local function member_data(r, s)
  return with_flags(s, { uuid = s.id, did = s.did, caller_id = s.caller_id, member_id = tonumber(s.member_id) })
end

-- A flag that shall change: until the node confirms it, refuses it, or the member is out.
local function forget_pending(s, flag)
  settled(s.node, flag.on.command, s.id)
  clear(keys.session(s.id), s, flag.pending, flag.pending_uid, flag.pending_job)
end

-- Why a member is out: its call has ended, or it was taken out of the room.
local function why_left(s, cause)
  local r = get_room(s.room)
  if cause and cause ~= "" then return "hangup" end
  if r and r.closing then return "room_destroyed" end
  return s.state == "leaving" and "left" or "kicked"
end

local function set_state(s, state, fields)
  fields = fields or {}
  fields.state = state
  change(keys.session(s.id), s, fields)
  log("state", "session." .. state, { app = s.app, room = s.room, session = s.id })
end

local function command_failed(r, s, command, uid, reason)
  local data = s and member_data(r, s) or {}
  data.command, data.command_uid, data.reason = command, uid, reason
  tell(r, "conference.command.failed", data)
end

local function after_departure(r)
  if redis.call("ZCARD", keys.members(r.id)) == 0 then end_operations(r, "interrupted") end
  forget_if_over(r)
end

local function release(r, s)
  redis.call("ZREM", keys.members(r.id), s.id)
  redis.call("SREM", keys.present(r.id), s.id)
  settled(s.node, "join", s.id)
  settled(s.node, "leave", s.id)
  for _, flag in pairs(FLAGS) do
    forget_pending(s, flag)
    clear(keys.session(s.id), s, flag.name)
  end
  clear(keys.session(s.id), s, "room", "member_id", "uid", "job")
  set_state(s, "parked")
end

-- The node did not change the flag, or can no longer.
local function flag_failed(r, s, flag, reason)
  local command, uid = s[flag.pending], s[flag.pending_uid]
  if not command then return end
  forget_pending(s, flag)
  command_failed(r, s, command, uid, reason)
end

-- `cause`: the hangup cause.
local function leave(r, s, reason, cause)
  for _, flag in pairs(FLAGS) do flag_failed(r, s, flag, "no_member") end
  local data = member_data(r, s)
  data.command_uid = s.state == "leaving" and s.uid or nil
  data.reason, data.cause = reason, reason == "hangup" and cause or nil
  release(r, s)
  tell(r, "conference.member.left", data)
  after_departure(r)
end

local function join_failed(r, s, reason, cause)
  local data = member_data(r, s)
  data.command_uid, data.reason = s.uid, reason
  data.cause = reason == "hangup" and cause or nil
  release(r, s)
  tell(r, "conference.member.join_failed", data)
  after_departure(r)
end

-- Takes a session out of the room that the store has it in, whatever the state.
local function take_out(s, reason, cause)
  local r = s.room and get_room(s.room)
  if not r then return end
  if s.state == "joining" then join_failed(r, s, reason, cause) else leave(r, s, reason, cause) end
end
