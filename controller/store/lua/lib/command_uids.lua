-- The caller's own id of a command: a repeat gets the first answer.
-- args: app_id command session_id? room_id? command_uid? body?
-- needs: access

local ANSWER_SECONDS = 60 -- for which a repeated command_uid gets the first answer

-- What a command_uid stands for: this very command, to this session if it is to one. `body`: what else was asked, if
-- anything was.
local function named_command()
  local body = args.body and " " .. args.body or ""
  return args.command .. " " .. (args.session_id or "") .. " " .. (args.room_id or "") .. body
end

-- For a command_uid that was used already: the first answer, or a refusal if it named another command.
local function first_answer()
  local raw = args.command_uid and redis.call("GET", keys.answer(args.app_id, args.command_uid))
  if not raw then return nil end
  local first = cjson.decode(raw)
  return first.command == named_command() and first.answer or refuse("command_uid_taken")
end

-- The command is accepted with this answer.
local function keep_answer(answer)
  if args.command_uid then
    redis.call("SET", keys.answer(args.app_id, args.command_uid),
      cjson.encode({ command = named_command(), answer = answer }), "EX", ANSWER_SECONDS)
  end
end
