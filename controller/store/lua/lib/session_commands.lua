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
  local refused = limited(session.id, session.node)
  if refused then return nil, refused end
  if session.state == SESSION.joining then return nil, refuse("still_joining") end
  if session.state == SESSION.leaving then return nil, refuse("leaving") end
  return session
end

-- Answers a command that is accepted. `more`: fields of the answer.
local function accept(session, status, more)
  local fields = more or {}
  fields.status, fields.room_id = status, session.room
  local answer = cjson.encode(fields)
  keep_answer(answer)
  log("command", args.command, { app = args.app_id, room = session.room, session = session.id,
    command_uid = args.command_uid, answer = status })
  return answer
end

-- Answers a command that is accepted and no repeat: the next of its group has to wait, for `ms` at least.
local function accept_new(session, status, more, ms)
  start_cooldown(session.id, ms)
  return accept(session, status, more)
end
