-- What becomes of webhooks once they were attempted: their records, and the lists of them by app and status.

-- How long a record is kept (s), and how many of an app at the most: the oldest go first.
local KEPT = {
  delivered = { seconds = 3 * 86400, count = 1000 },
  failed = { seconds = 30 * 86400, count = 100000 },
}
-- The list in which a status stands.
local LIST = { held = "retrying", aside = "retrying", delivered = "delivered", failed = "failed" }

-- Where an entry stands in its app's lists: in the order of the outbox, as a number that a double holds exactly.
local function position(id)
  local ms, number = string.match(id, "^(%d+)-(%d+)$")
  return ms * 1024 + math.min(number, 1023)
end

-- Drops what is too much of a list, and the oldest if its record has lapsed.
local function trim(list, count)
  local over = redis.call("ZCARD", list) - count
  for _, id in ipairs(redis.call("ZRANGE", list, 0, math.max(0, math.min(over, 100) - 1))) do
    if over > 0 or redis.call("EXISTS", K.delivery(id)) == 0 then
      redis.call("DEL", K.delivery(id))
      redis.call("ZREM", list, id)
    end
  end
end

-- Puts a record where its new status belongs. `old`: the status before, or false.
local function file(app, id, status, old)
  if old and LIST[old] ~= LIST[status] then redis.call("ZREM", K.deliveries(app, LIST[old]), id) end
  local list, kept = K.deliveries(app, LIST[status]), KEPT[LIST[status]]
  redis.call("HSET", K.delivery(id), "status", status)
  redis.call("ZADD", list, string.format("%.0f", position(id)), id)
  if kept then
    redis.call("EXPIRE", K.delivery(id), kept.seconds)
    redis.call("EXPIRE", list, kept.seconds)
    trim(list, kept.count)
  end
end

-- Says when the app's `aside` is due next.
local function refresh_aside(app)
  local first = redis.call("ZRANGE", K.aside(app), 0, 0, "WITHSCORES")
  if first[1] then redis.call("ZADD", K.asides(), first[2], app) else redis.call("ZREM", K.asides(), app) end
end

-- Has a webhook that is delivered or failed tried again, from the first attempt on. False when its record has lapsed.
local function send_again(app, id, old)
  local record = K.delivery(id)
  local attempts = redis.call("HGET", record, "attempts")
  if not attempts then
    redis.call("ZREM", K.deliveries(app, LIST[old]), id)
    return false
  end
  redis.call("PERSIST", record)
  redis.call("HSET", record, "earlier", attempts, "next", NOW)
  file(app, id, "aside", old)
  redis.call("ZADD", K.aside(app), NOW, id)
  return true
end
