-- include: playback members answers
-- The connection that carried these answers is gone. What the node did was compared before; the rest counts as failed.
-- Answers for how long (ms) a play among it may still be heard.
if fenced() then return refuse("fenced") end
local sent = redis.call("HGETALL", K.sent(A.node))
redis.call("DEL", K.sent(A.node))
local heard_ms = 0
for i = 1, #sent, 2 do
  settled(A.node, "job", sent[i])
  local command = cjson.decode(sent[i + 1])
  if command.op == "play" then heard_ms = PLAY_MS end
  answer(command, sent[i], { ok = false, reason = "no_answer" })
end
return cjson.encode({ heard_ms = heard_ms })
