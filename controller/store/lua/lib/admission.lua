-- How requests of an app are counted before anything else is done for them.
-- needs: rates

local BURST_US = 1000000

-- Counts a request (an even rate with one second's worth of burst), for as many as it `cost`, unless it is above the
-- `rate` (requests a second). Returns how many requests the app may send at once then, and in how many ms it may
-- send the most; and above the rate also the refusal, with the ms to wait.
local function admit(app_id, rate, cost)
  local each = 1000000 / rate
  local arrival = next_arrival(keys.rate(app_id), BURST_US)
  local wait = arrival + cost * each - NOW_US - BURST_US
  local found = {}
  if wait > 0 then
    found = { refused = "rate_limited", detail = { retry_after_ms = math.ceil(wait / 1000) } }
  else
    arrival = arrival + cost * each
    redis.call("SET", keys.rate(app_id), string.format("%.0f", arrival), "PX", 2000)
  end
  found.remaining = math.floor((NOW_US + BURST_US - arrival) / each + 0.01)
  found.reset_ms = math.ceil((arrival - NOW_US) / 1000)
  return found
end
