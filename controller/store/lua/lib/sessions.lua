-- Sessions, and the flags of those that are members.
-- needs: records

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

-- What the API shows of a session in any list. Raises an error for one that is broken, as the next does.
local function describe_member(session)
  return with_flags(session,
    { session_id = session.id, did = text_in(session, "did"), caller_id = text_in(session, "caller_id") })
end

-- A session as the API shows it.
local function describe_session(session)
  local described = describe_member(session)
  described.state, described.room_id = text_in(session, "state"), session.room or ""
  described.member_id = session.member_id and number_in(session, "member_id", 10) or cjson.null
  described.started_at = number_in(session, "started_at", 11)
  return described
end
