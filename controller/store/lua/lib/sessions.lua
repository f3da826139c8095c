-- Sessions, and the flags of those that are members.
-- needs: records recorded

-- Fields in which older versions stored the one pending command of a flag, and what its due item was called.
-- Version 0.1 had `want`, of mute and unmute.
local OLD_PENDING = { want = "mute", pending_muted = "mute", pending_deaf = "deaf" }

-- Moves such a command to the fields of its own.
local function move_pending(session, field, kind)
  local key, due, item = keys.session(session.id), keys.due(session.node), kind .. ":" .. session.id
  local command, job, uid = session[field], session[field .. "_job"], session[field .. "_uid"]
  clear(key, session, field, field .. "_job", field .. "_uid")
  change(key, session, { [CHANGES[command].pending_job] = job, [CHANGES[command].pending_uid] = uid })
  -- Without an item overdue.lua has just taken it.
  local deadline = redis.call("ZSCORE", due, item) or NOW
  redis.call("ZREM", due, item)
  redis.call("ZADD", due, deadline, command .. ":" .. session.id)
end

local function get_session(id)
  local session = get(keys.session(id))
  if not session then return nil end
  session.id = id
  -- A session that version 0.1 stored has its channel in its id.
  session.channel = session.channel or string.match(id, "-(.*)")
  for field, kind in pairs(OLD_PENDING) do
    if session[field] then move_pending(session, field, kind) end
  end
  return session
end

local function has_flag(session, flag) return session[flag.name] == "1" end

-- Adds all flags and levels of a session to `fields`, by their names.
local function with_flags(session, fields)
  for name, flag in pairs(FLAGS) do fields[name] = has_flag(session, flag) end
  for name in pairs(LEVELS) do fields[name] = tonumber(session[name]) or 0 end
  return fields
end

-- Adds all flags to `fields`, by their names: those that `names` lists are on.
local function turn_on(fields, names)
  for name in pairs(FLAGS) do fields[name] = 0 end
  for _, name in ipairs(names) do fields[name] = 1 end
  return fields
end

-- What a member is for its app. The record of one that an older version let join says nothing of it.
local function role_of(session) return session.role or ROLES[1] end

-- The tags of a member, as JSON.
local function tags_of(session) return session.tags or "[]" end

local function ends_on_exit(session) return session.end_on_exit == "1" end

-- Whether a member waits for a moderator (lib/kept_out.lua).
local function is_waiting(session) return session.waiting ~= nil end

-- Whom a member coaches (lib/coaching.lua).
local function coaching_of(session) return session.coaching or cjson.null end

-- Whether a member speaks, if the room asks for that.
local function is_speaking(session)
  return session.room ~= nil and redis.call("SISMEMBER", keys.speakers(session.room, session.node), session.id) == 1
end

-- What the API shows of a session in any list. Raises an error for one that is broken, as the next does.
local function describe_member(session)
  return with_flags(session,
    { session_id = session.id, node = text_in(session, "node"), did = text_in(session, "did"),
      caller_id = text_in(session, "caller_id"),
      role = role_of(session), tags = as_list(cjson.decode(tags_of(session))), end_on_exit = ends_on_exit(session),
      recording = describe_recorded(session.recording),
      speaking = is_speaking(session), waiting = is_waiting(session), coaching = coaching_of(session),
      joined_at = session.joined_at and number_in(session, "joined_at", 11) or cjson.null })
end

-- Whether somebody has called, or the app has. The record of a session that an older version began does not say.
local function direction_of(session)
  if session.direction then return session.direction end
  return redis.call("SISMEMBER", keys.dialled(session.app), session.id) == 1 and "outbound" or "inbound"
end

-- Makes of a call that rings what it will be in the room that it is dialled for, if it is.
local function look_ahead(session)
  if not session.dial_room then return end
  session.room, session.role, session.tags = session.dial_room, session.dial_role, session.dial_tags
  session.end_on_exit = session.dial_end_on_exit
  for name in string.gmatch(session.dial_flags or "", "%S+") do session[name] = "1" end
  for _, pair in ipairs(cjson.decode(session.dial_levels or "[]")) do session[pair[1]] = pair[2] end
end

-- A session as the API shows it.
local function describe_session(session)
  look_ahead(session)
  local described = describe_member(session)
  described.direction = direction_of(session)
  described.state, described.room_id = text_in(session, "state"), session.room or ""
  described.member_id = session.member_id and number_in(session, "member_id", 10) or cjson.null
  described.transferred_to = session.transfer_to or cjson.null
  described.started_at = number_in(session, "started_at", 11)
  return described
end
