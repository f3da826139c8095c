-- Sessions, and the flags of those that are members.

-- Version 0.1 stored one pending command, of mute only.
local function move_pending(session)
  local flag, key = FLAGS.muted, keys.session(session.id)
  change(key, session,
    { [flag.pending] = session.want, [flag.pending_job] = session.want_job, [flag.pending_uid] = session.want_uid })
  clear(key, session, "want", "want_job", "want_uid")
end

local function get_session(id)
  local session = get(keys.session(id))
  if not session then return nil end
  session.id = id
  -- A session that version 0.1 stored has its channel in its id.
  session.channel = session.channel or string.match(id, "-(.*)")
  if session.want then move_pending(session) end
  return session
end

local function has_flag(session, flag) return session[flag.name] == "1" end

-- Adds all flags of a session to `fields`, by their names.
local function with_flags(session, fields)
  for name, flag in pairs(FLAGS) do fields[name] = has_flag(session, flag) end
  return fields
end

-- A session as the API shows it.
local function describe_session(session)
  return with_flags(session, { session_id = session.id, did = session.did, caller_id = session.caller_id,
    state = session.state, room_id = session.room or "", member_id = tonumber(session.member_id) or cjson.null,
    started_at = tonumber(session.started_at) })
end
