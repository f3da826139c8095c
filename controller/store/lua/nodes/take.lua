-- A worker takes commands from the stream (`entries`) to send them: from here on they count as sent, and are sent once.
-- args: node entries
-- needs: node_fence node_commands sessions
-- lists: commands

if fenced() then return refusal("fenced") end
local taken = {}
for _, entry in ipairs(args.entries) do
  local found = redis.call("XRANGE", keys.commands(args.node), entry, entry)[1]
  if found then
    redis.call("XDEL", keys.commands(args.node), entry)
    local raw = found[2][2]
    local command = cjson.decode(raw)
    local job = job_id(entry)
    redis.call("HSET", keys.sent(args.node), job, raw)
    redis.call("ZADD", keys.due(args.node), NOW + (command.op == "play" and PLAY_MS or CONFIRM_MS), "job:" .. job)
    log("sent", command.op, { app = command.app, room = command.room, session = command.session,
      operation = command.operation, job = job })
    command.job = job
    local session = command.op == "join" and get_session(command.session)
    command.channel = session and session.channel or nil
    taken[#taken + 1] = command
  end
end
return cjson.encode({ commands = as_list(taken) })
