-- How requests of an app are counted before anything else is done for them.

-- Counts a request (GCRA: an even rate with one second's worth of burst), for as many as it `cost`, unless it is above
-- the `rate` (requests a second). Returns how many requests the app may send at once then, and in how many ms it may
-- send the most; and above the rate also the refusal, with the ms to wait.
local function admit(app_id, rate, cost)
  local each = 1000000 / rate
  local arrival = tonumber(redis.call("GET", keys.rate(app_id)) or 0)
  -- It is further ahead than a request can bring it if the clock was set back.
  if arrival < NOW_US or arrival > NOW_US + 1000000 then arrival = NOW_US end
  local wait = arrival + cost * each - NOW_US - 1000000
  local found = {}
  if wait > 0 then
    found = { refused = "rate_limited", detail = { retry_after_ms = math.ceil(wait / 1000) } }
  else
    arrival = arrival + cost * each
    redis.call("SET", keys.rate(app_id), string.format("%.0f", arrival), "PX", 2000)
  end
  found.remaining = math.floor((NOW_US + 1000000 - arrival) / each + 0.01)
  found.reset_ms = math.ceil((arrival - NOW_US) / 1000)
  return found
end
