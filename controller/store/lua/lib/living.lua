-- Who is alive, in sorted sets: by the time (ms) until which each counts as such.

-- Forgets the dead, and returns them. `ttl`: for how long at the most anybody counts as alive. Whoever does for longer
-- said so before the clock was set back.
local function forget_dead(key, ttl)
  for _, member in ipairs(redis.call("ZRANGEBYSCORE", key, "(" .. NOW + ttl, "+inf")) do
    redis.call("ZADD", key, NOW + ttl, member)
  end
  local dead = redis.call("ZRANGEBYSCORE", key, "-inf", NOW)
  redis.call("ZREMRANGEBYSCORE", key, "-inf", NOW)
  return dead
end
