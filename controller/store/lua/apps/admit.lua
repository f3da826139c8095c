-- Counts a request of an app before anything else is done for it (GCRA: an even rate with one second's worth of burst).
-- Refuses above the rate (requests a second), with the ms to wait. `cost`: for how many requests it counts. Replies,
-- also when it refuses, how many requests the app may send at once then, and in how many ms it may send the most.
-- args: app_id rate cost

local each = 1000000 / args.rate
local arrival = math.max(tonumber(redis.call("GET", keys.rate(args.app_id)) or 0), NOW_US)
local wait = arrival + args.cost * each - NOW_US - 1000000
local reply = {}
if wait > 0 then
  reply = { refused = "rate_limited", detail = { retry_after_ms = math.ceil(wait / 1000) } }
else
  arrival = arrival + args.cost * each
  redis.call("SET", keys.rate(args.app_id), string.format("%.0f", arrival), "PX", 2000)
end
reply.remaining = math.floor((NOW_US + 1000000 - arrival) / each + 0.01)
reply.reset_ms = math.ceil((arrival - NOW_US) / 1000)
return cjson.encode(reply)
