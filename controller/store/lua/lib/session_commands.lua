-- What the commands of a session share: how they begin, and how they are accepted.
-- args: app_id command session_id command_uid?
-- needs: command_uids limits

-- The session of a command to a call, or nil and the answer to give instead.
local function own_call()
  local session, refused = own_session(args.session_id)
  local instead = refused or first_answer()
  if instead then return nil, instead end
  return session
end

-- The session of a command to a member, of that `room` if it is given, or nil and the answer to give instead.
local function own_member(room)
  local session, instead = own_call()
  if instead then return nil, instead end
  if not session.room or room and session.room ~= room.id then return nil, refuse("not_in_room") end
  local refused = limited(session.id, session.node) or refuse_busy(session)
  if refused then return nil, refused end
  return session
end

-- Answers a command that is accepted. `more`: fields of the answer; `logged`: of the line in the event log.
local function accept(session, status, more, logged)
  local fields = more or {}
  fields.status, fields.room_id = status, session.room
  local answer = cjson.encode(fields)
  keep_answer(answer)
  local line = logged or {}
  line.app, line.room, line.session = args.app_id, session.room, session.id
  line.command_uid, line.answer = args.command_uid, status
  log("command", args.command, line)
  return answer
end

-- Answers a command that is accepted and no repeat: the next of its group has to wait, for `ms` at least.
local function accept_new(session, status, more, ms)
  start_cooldown(session.id, ms)
  return accept(session, status, more)
end
