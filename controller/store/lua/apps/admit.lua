-- Counts a request of an app before anything else is done for it (GCRA: an even rate with one second's worth of burst).
-- Refuses above the rate (requests a second), with the ms to wait. `cost`: for how many requests it counts. Replies how
-- many requests the app may send at once after it, and in how many ms it may send as many as ever.
-- args: app_id rate cost

local each = 1000000 / args.rate
local arrival = math.max(tonumber(redis.call("GET", keys.rate(args.app_id)) or 0), NOW_US) + args.cost * each
local wait = arrival - NOW_US - 1000000
if wait > 0 then return refusal("rate_limited", { retry_after_ms = math.ceil(wait / 1000) }) end
redis.call("SET", keys.rate(args.app_id), string.format("%.0f", arrival), "PX", 2000)
return cjson.encode({ remaining = math.floor(-wait / each + 0.01), reset_ms = math.ceil((arrival - NOW_US) / 1000) })
