-- Commands for a node's worker, and what the node is expected to confirm.
--
-- A command waits in the node's stream for its worker to take it. If that worker asks itself, in the process of the API
-- (`sender`, { node, token }), it counts as sent in the step that makes it, unless others wait before it.
-- args: sender?
-- needs: sessions

local CONFIRM_MS = 10000 -- within which a command must be taken, have its result, or be confirmed by an event
local LATE_MS = 2000 -- after which that is late, and an event may have been lost
local PLAY_MS = 45000 -- within which a play must be taken, and then have its result: its file is fetched first
local BEEP_FILE_MS = 15000 -- the same of a beep, which soon would be too late
local DTMF_MS = 45000 -- within which digits must have their result: a node may wait for the pauses among them
local STORE_MS = 1800000 -- within which a node must have put a recording to a relay
local DIAL_MS = 150000 -- within which a call must have its result: it may ring for long
-- The ops that are about a session, be it in a room or not.
local OF_SESSION = { dial = true, transfer = true, end_transfer = true, hang_up = true, dtmf = true,
  session_play = true, session_stop = true }

-- The node is to confirm `kind` of `id` within `ms`, or CONFIRM_MS; if it does not, overdue.lua handles it.
local function expect(node, kind, id, ms)
  redis.call("ZADD", keys.due(node), NOW + (ms or CONFIRM_MS), kind .. ":" .. id)
end

-- The node has confirmed it, or need not any more.
local function confirmed(node, kind, id)
  redis.call("ZREM", keys.due(node), kind .. ":" .. id)
end

-- Within how long a command must be taken: one with a file has to wait for it.
local function take_within(command)
  if not command.url then return CONFIRM_MS end
  return command.op == "beep" and BEEP_FILE_MS or PLAY_MS
end

-- Within how long it must have its result then.
local function patience(command)
  local long = { dial = DIAL_MS, dtmf = DTMF_MS, store = STORE_MS }
  return long[command.op] or take_within(command)
end

-- A job id names a command's partition and its entry of the stream, so that its result finds both. A command that is
-- sent at once has none, but its place is where it would be.
local function job_id(entry) return string.sub(tag, 2, -2) .. "-" .. entry end

local function entry_of_job(job) return string.match(job, "^%w+%-(.+)$") end

-- The fields of a reply that say which command the node has confirmed, and how long ago (ms) that was stored as `job`.
local function confirmation(command, job)
  return { command = command, took = job and NOW - tonumber(string.match(job, "(%d+)-%d+$")) }
end

-- Whether a job's command was stored before another's, for the same node.
local function is_earlier(job, other)
  local at, number = string.match(job, "(%d+)-(%d+)$")
  local other_at, other_number = string.match(other, "(%d+)-(%d+)$")
  if at == other_at then return tonumber(number) < tonumber(other_number) end
  return tonumber(at) < tonumber(other_at)
end

-- The worker of a node is about to send a command: from here on it counts as sent, and is sent once. `raw`: the command
-- as it is kept until its result.
local function count_as_sent(node, job, command, raw)
  redis.call("HSET", keys.sent(node), job, raw)
  expect(node, "job", job, patience(command))
  command.job = job
end

-- What the worker needs to know besides; and the event log.
local function note_sent(command)
  local is_to_call = OF_SESSION[command.op] or command.op == "join" or command.recording and command.session
  local session = is_to_call and get_session(command.session)
  command.channel = session and session.channel or nil
  act_for(command)
  log("sent", command.op, { app = command.app, room = command.room, session = command.session,
    operation = command.operation, recording = command.recording, job = command.job })
end

-- Acts from here on for whoever sent the command, and tells the event log what came of it.
local function log_answer(command, job, result)
  act_for(command)
  log("answer", command.op, { app = command.app, room = command.room, session = command.session,
    operation = command.operation, job = job, ok = result.ok, reason = result.reason, text = result.text,
    http_status = result.http_status, recording = command.recording })
end

local at_once = empty_each_step({}) -- the commands of this step that count as sent

-- Whether a command may be sent at once: the sender still holds the node, nothing waits in its stream, and there is no
-- file to wait for.
local function is_for_sender(node, command)
  local sender = args.sender
  return sender and sender.node == node and not command.url
    and tonumber(redis.call("GET", keys.fence(node))) == sender.token and redis.call("XLEN", keys.commands(node)) == 0
end

-- The commands to send at once, if there are any. At the end of the step, so that the event log tells first what they
-- follow from.
local function sent_at_once()
  local before = origin
  for _, command in ipairs(at_once) do note_sent(command) end
  act_for(before)
  return #at_once > 0 and at_once or nil
end

local PLACE_SECONDS = 3600 -- for which the place of a node's last command is kept: longer than any command is pending

-- The place of a command among all of the node, behind the last one also if the clock was set back. Not by the stream:
-- what is sent at once spares itself that, as each entry wakes who waits for one. The number within the millisecond has
-- seven digits, as jobs that are due at once come in the order of their ids' letters.
local function next_place(node)
  local ms, number = NOW, 1e6 + NOW_US % 1000 * 1000
  local last_ms, last_number = string.match(redis.call("GET", keys.last_place(node)) or "", "^(%d+)-(%d+)$")
  last_ms, last_number = tonumber(last_ms), tonumber(last_number)
  if last_ms and (last_ms > ms or last_ms == ms and last_number >= number) then
    ms, number = last_ms, last_number + 1
  end
  local place = string.format("%.0f-%.0f", ms, number)
  redis.call("SET", keys.last_place(node), place, "EX", PLACE_SECONDS)
  return place
end

-- Adds a command to the node's stream. Returns its entry: behind the others also if these are later.
local function queue(node, place, raw)
  local entry = redis.pcall("XADD", keys.commands(node), place, "c", raw)
  return type(entry) == "string" and entry or redis.call("XADD", keys.commands(node), "*", "c", raw)
end

-- Hands a command to the node's worker. Returns its job id.
local function send(node, op, command)
  command.op, command.actor, command.trace = op, origin.actor, origin.trace
  local raw, place = cjson.encode(command), next_place(node)
  if is_for_sender(node, command) then
    local job = job_id(place)
    count_as_sent(node, job, command, raw)
    at_once[#at_once + 1] = command
    return job
  end
  local job = job_id(queue(node, place, raw))
  expect(node, "job", job, take_within(command))
  return job
end

-- Whether no worker has taken a command yet: one with a file waits for that, and a node may be away.
local function is_untaken(node, job)
  local entry = entry_of_job(job)
  return #redis.call("XRANGE", keys.commands(node), entry, entry) > 0
end

-- Takes a command back, if no worker has taken it. Returns whether none has.
local function take_command_back(node, job)
  if redis.call("XDEL", keys.commands(node), entry_of_job(job)) == 0 then return false end
  confirmed(node, "job", job)
  return true
end

-- Sends the command `op` about a session and its room, with more `fields` if there are any, which the session's node is
-- to confirm as `kind`. Returns its job id.
local function send_about(session, op, kind, fields)
  -- Behind the deadline to take it: a command that was not taken fails for that reason.
  local command = fields or {}
  expect(session.node, kind, session.id, command.url and 2 * PLAY_MS + 1 or CONFIRM_MS + 1)
  command.app, command.room, command.session = session.app, session.room, session.id
  command.member_id = tonumber(session.member_id)
  return send(session.node, op, command)
end

-- Has the node change a member, as a row of CHANGES says. `more`: the command_uid (`uid`), the id of the command to all
-- that it is part of (`operation`), the `value` of a level, and the `url` of hold music, where there are such.
local function send_change(session, change_to, more)
  local job = send_about(session, change_to.command, change_to.command, { value = more.value, url = more.url })
  change(keys.session(session.id), session, { [change_to.pending_job] = job, [change_to.pending_uid] = more.uid,
    [change_to.pending_operation] = more.operation, [change_to.pending_value] = more.value,
    [change_to.pending_actor] = origin.actor, [change_to.pending_trace] = origin.trace })
end

-- Forgets a pending command to change a member: the node has confirmed or refused it, or the member is out.
local function forget_pending(session, change_to)
  confirmed(session.node, change_to.command, session.id)
  clear(keys.session(session.id), session, change_to.pending_job, change_to.pending_uid, change_to.pending_operation,
    change_to.pending_value, change_to.pending_actor, change_to.pending_trace)
end

-- Joins a session with the flags that its record has, and with all if it is kept out (lib/kept_out.lua).
local function send_join(session)
  local before, flags = act_for(session), {}
  for _, flag in pairs(FLAGS) do
    local joins = flag.joins and (session[flag.name] == "1" or session.kept_out)
    if joins then flags[#flags + 1] = flag.on.command end
  end
  table.sort(flags)
  local job = send_about(session, "join", "join", { flags = table.concat(flags, " ") })
  change(keys.session(session.id), session, { job = job })
  act_for(before)
end
