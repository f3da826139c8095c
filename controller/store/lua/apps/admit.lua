-- Counts a request of an app before anything else is done for it (GCRA: an even rate with one second's worth of burst).
-- Refuses above the rate (requests a second), with the ms to wait. `cost`: for how many requests it counts.
-- args: app_id rate cost

local interval = args.cost * 1000000 / args.rate
local arrival = math.max(tonumber(redis.call("GET", keys.rate(args.app_id)) or 0), NOW_US)
local wait = arrival + interval - NOW_US - 1000000
if wait > 0 then return refusal("rate_limited", { retry_after_ms = math.ceil(wait / 1000) }) end
redis.call("SET", keys.rate(args.app_id), string.format("%.0f", arrival + interval), "PX", 2000)
return "{}"
