-- Calls that apps make, until they are answered or have come to nothing.
--
-- How it works: the session is stored, `dialing`, before its node is told, with the uuid that the call will have there.
-- So whatever is lost on the way, the call is known: a comparison finds it by its uuid, or that there is none.
-- needs: call_commands hang_ups joins outbox

local DAY_MS, MINUTE_MS = 86400000, 60000

-- Counts a call that an app makes. Those before count for a day.
local function count_dial(app, id)
  local key = keys.dials(app)
  redis.call("ZADD", key, NOW, id)
  redis.call("PEXPIRE", key, DAY_MS)
  redis.call("SADD", keys.dialled(app), id)
end

-- How many calls an app has now, and has made in the last minute and day.
local function dials_of(app)
  local key = keys.dials(app)
  redis.call("ZREMRANGEBYSCORE", key, "-inf", NOW - DAY_MS)
  return { calls_at_once = redis.call("SCARD", keys.dialled(app)), calls_per_day = redis.call("ZCARD", key),
    calls_per_minute = redis.call("ZCOUNT", key, NOW - MINUTE_MS + 1, "+inf") }
end

local LAST_MS = { calls_per_minute = MINUTE_MS, calls_per_day = DAY_MS } -- for which a call counts

-- How long until an app has made one call less than `most` of that limit, if that is known. `used_now`: how many it has
-- made.
local function until_fewer(app, limit, used_now, most)
  local ms = LAST_MS[limit]
  if not ms or most < 1 then return nil end
  local call = redis.call("ZRANGEBYSCORE", keys.dials(app), NOW - ms + 1, "+inf", "WITHSCORES",
    "LIMIT", used_now - most, 1)
  return call[2] and call[2] + ms - NOW
end

-- From here on the script acts on behalf of whoever dialled. Returns the command_uid, and the origin before.
local function forget_dial(session)
  local uid, before = forget_call_command(session, "dial")
  clear(keys.session(session.id), session, "is_ringing", "dial_room", "dial_flags", "dial_levels", "dial_role",
    "dial_tags", "dial_end_on_exit")
  return uid, before
end

-- Joins the room that it was dialled for, if that may be joined still.
local function join_answered(session, id, fields, flags)
  local room = get_room(id)
  local is_there = room and not room.closing and room.app == session.app
  local reason = not is_there and "room_not_found" or why_not_open(room)
  if not reason then return begin_join(session, room, fields, flags, false) end
  emit_session(session, "session.command.failed", { command = "join", command_uid = fields.uid,
    reason = reason })
end

-- Whoever was called has answered, and the call is parked.
local function dial_answered(session)
  local room, flags = session.dial_room, {}
  for name in string.gmatch(session.dial_flags or "", "%S+") do flags[#flags + 1] = name end
  local fields = { room = room, levels = session.dial_levels, role = session.dial_role, tags = session.dial_tags,
    end_on_exit = session.dial_end_on_exit }
  local uid, before = forget_dial(session)
  set_state(session, step("SESSION", session.state, "answered"), { started_at = math.floor(NOW / 1000) })
  emit_session(session, "session.answered", { command_uid = uid })
  if session.hang_up_job then
    -- It was answered at that moment.
    hang_up_again(session)
  elseif room then
    fields.uid, fields.actor, fields.trace = uid, origin.actor, origin.trace
    join_answered(session, room, fields, flags)
  end
  act_for(before)
end
