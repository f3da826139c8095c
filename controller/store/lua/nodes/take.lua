-- A worker takes commands from the stream (`entries`) to send them: from here on they count as sent, and are sent once.
-- Those that cannot be read are dropped. `files`: of those with a file, by their entry: the `url` for the node, and of
-- what a relay has prepared the `details` that the event log tells, and of a file in two parts `rest`, the frame where
-- the second begins, and its `rest_url`.
-- args: node entries files?
-- needs: node_fence node_commands records
-- lists: commands

local function take(entry, raw)
  local command, job = cjson.decode(raw), job_id(entry)
  local is_of_session = OF_SESSION[text_in(command, "op")]
  text_in(command, "app")
  text_in(command, command.recording and "recording" or is_of_session and "session" or "room")
  if command.op == "join" then text_in(command, "session") end
  count_as_sent(args.node, job, command, raw)
  note_sent(command)
  local file = args.files and args.files[entry]
  if file then
    local named = file.url
    command.url = file.url
    if file.rest_url and file.rest_url ~= "" then
      -- As the node names what it plays (`joined` in esl/commands.py), but for what is behind the `#`. That is what it
      -- says when it begins with the rest (rest_began.lua).
      named = "file_string://!" .. file.url .. "!" .. file.rest_url
      command.rest_url = file.rest_url .. "#" .. command.room .. ":" .. command.operation .. ":" .. command.index
    end
    local operation = command.op == "play" and keys.operation(text_in(command, "operation"))
    if operation and redis.call("EXISTS", operation) == 1 then
      redis.call("HSET", operation, "n" .. command.index, named, "r" .. command.index, file.rest or 0)
    end
    local details = file.details
    if details and next(details) then
      details.app, details.room, details.operation, details.index =
        command.app, command.room, command.operation, command.index
      details.session = command.session
      log("audio", "prepared", details)
    end
  end
  return command
end

if fenced() then return refusal("fenced") end
local taken = {}
for _, entry in ipairs(args.entries) do
  local found = redis.call("XRANGE", keys.commands(args.node), entry, entry)[1]
  if found then
    redis.call("XDEL", keys.commands(args.node), entry)
    local succeeded, command = try(entry, take, entry, found[2][2])
    if succeeded then taken[#taken + 1] = command end
  end
end
return cjson.encode({ commands = as_list(taken), broken = as_list(broken) })
