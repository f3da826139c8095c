-- include: playback endings members answers
-- The answer to a command that was sent: args.job, args.ok, args.reason, args.text, args.paused.
if fenced() then return refuse("fenced") end
local raw = redis.call("HGET", keys.sent(args.node), args.job)
if not raw then return cjson.encode({ unknown = true }) end
redis.call("HDEL", keys.sent(args.node), args.job)
settled(args.node, "job", args.job)
answer(cjson.decode(raw), args.job, args)
return result({ answered = true })
