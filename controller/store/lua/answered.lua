-- include: playback endings members answers
-- The answer to a command that was sent: A.job, A.ok, A.reason, A.text, A.paused.
if fenced() then return refuse("fenced") end
local raw = redis.call("HGET", K.sent(A.node), A.job)
if not raw then return cjson.encode({ unknown = true }) end
redis.call("HDEL", K.sent(A.node), A.job)
settled(A.node, "job", A.job)
answer(cjson.decode(raw), A.job, A)
return result({ answered = true })
