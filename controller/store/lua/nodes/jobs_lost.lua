-- Fails commands whose results were lost with the connection. What the node did was found by the comparison before.
-- Replies { heard_ms, more }: how long (ms) a play among them may still be heard, and whether there are more of them.
-- args: node
-- needs: node_fence results

local MAX_JOBS = 10 -- in a step

if fenced() then return refusal("fenced") end
local sent = redis.call("HSCAN", keys.sent(args.node), 0, "COUNT", MAX_JOBS)[2]
local heard_ms = 0
for i = 1, math.min(#sent, 2 * MAX_JOBS), 2 do
  redis.call("HDEL", keys.sent(args.node), sent[i])
  confirmed(args.node, "job", sent[i])
  local command = cjson.decode(sent[i + 1])
  if command.op == "play" then heard_ms = PLAY_MS end
  apply_result(command, sent[i], { ok = false, reason = "no_answer" })
end
return reply({ heard_ms = heard_ms, more = redis.call("EXISTS", keys.sent(args.node)) == 1 })
