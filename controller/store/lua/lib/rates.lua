-- Rates by GCRA: a burst, and then an even rate. What is kept of a rate is when the next request would arrive if all
-- came evenly (us).

-- When that is; now, if none came for a while. It is more than the `burst` (us) ahead only if the clock was set back.
local function next_arrival(key, burst)
  local arrival = tonumber(redis.call("GET", key) or 0)
  if arrival < NOW_US or arrival > NOW_US + burst then return NOW_US end
  return arrival
end
