-- Fails commands whose results were lost with the connection. What the node did was found by the comparison before.
-- Replies { heard_ms, more }: how long (ms) a play among them may still be heard, and whether there are more of them.
-- args: node
-- needs: node_fence records results

local MAX_JOBS = 10 -- in a step

if fenced() then return refusal("fenced") end
-- Not HSCAN from the start: it looks at so much of a hash, and finds nothing where most of that is gone.
local sent = redis.call("HRANDFIELD", keys.sent(args.node), MAX_JOBS, "WITHVALUES")
local heard_ms = 0

local function fail(job, raw)
  local command = cjson.decode(raw)
  if command.op == "play" then heard_ms = PLAY_MS end
  apply_result(command, job, { ok = false, reason = "no_answer" })
end

for i = 1, #sent, 2 do
  redis.call("HDEL", keys.sent(args.node), sent[i])
  confirmed(args.node, "job", sent[i])
  try(sent[i], fail, sent[i], sent[i + 1])
end
return reply({ heard_ms = heard_ms, more = redis.call("EXISTS", keys.sent(args.node)) == 1, broken = as_list(broken) })
