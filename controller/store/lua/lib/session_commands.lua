-- What the commands of a session share: how they begin, and how they are accepted.
-- args: app_id command session_id room_id? command_uid? body?
-- needs: access limits

local ANSWER_SECONDS = 60 -- for which a repeated command_uid gets the first answer

-- What a command_uid stands for: this very command to this session. `body`: what else was asked, if anything was.
local function named_command()
  local body = args.body and " " .. args.body or ""
  return args.command .. " " .. args.session_id .. " " .. (args.room_id or "") .. body
end

-- For a command_uid that was used already: the first answer, or a refusal if it named another command.
local function first_answer()
  local raw = args.command_uid and redis.call("GET", keys.answer(args.app_id, args.command_uid))
  if not raw then return nil end
  local first = cjson.decode(raw)
  return first.command == named_command() and first.answer or refuse("command_uid_taken")
end

-- The session of a command to a member, of that `room` if it is given, or nil and the answer to give instead.
local function own_member(room)
  local session, refused = own_session(args.session_id)
  if refused then return nil, refused end
  local first = first_answer()
  if first then return nil, first end
  if not session.room or room and session.room ~= room.id then return nil, refuse("not_in_room") end
  refused = limited(session.id, session.node)
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
  if args.command_uid then
    redis.call("SET", keys.answer(args.app_id, args.command_uid),
      cjson.encode({ command = named_command(), answer = answer }), "EX", ANSWER_SECONDS)
  end
  log("command", args.command, { app = args.app_id, room = session.room, session = session.id,
    command_uid = args.command_uid, answer = status })
  return answer
end

-- Answers a command that is accepted and no repeat: the next of its group has to wait, for `ms` at least.
local function accept_new(session, status, more, ms)
  start_cooldown(session.id, ms)
  return accept(session, status, more)
end
