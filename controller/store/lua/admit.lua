-- Counts a request of an app, ahead of all that it asks (GCRA: an even rate with one second's worth of burst). Over the
-- limit: the ms until the next may come.
local interval = 1000000 / A.rate
local arrival = math.max(tonumber(redis.call("GET", K.rate(A.app_id)) or 0), NOW_US)
local wait = arrival + interval - NOW_US - 1000000
if wait > 0 then return refuse("rate_limited", { retry_after_ms = math.ceil(wait / 1000) }) end
redis.call("SET", K.rate(A.app_id), string.format("%.0f", arrival + interval), "PX", 2000)
return "{}"
