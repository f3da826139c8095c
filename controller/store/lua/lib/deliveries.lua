-- The records of webhooks that were attempted, and the lists of them by app and status.
-- args: failed_bytes?

-- How long a record is kept (s), and how many records and bytes of an app at the most: the oldest are dropped first.
-- For failed webhooks the bytes are a quota of the app (args.failed_bytes, by app).
local KEPT = {
  [DELIVERY.delivered] = { seconds = 3 * 86400, count = 1000, bytes = 4194304 },
  [DELIVERY.failed] = { seconds = 30 * 86400, count = 100000 },
}
local MAX_TRIMMED = 3 -- records dropped for each one that is added, at the most

-- The fields of an outbox entry, which has them as a flat list.
local function fields_of(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  return fields
end

-- The fields of a record that have these names.
local function read_record(id, names)
  local record, values = {}, redis.call("HMGET", keys.delivery(id), unpack(names))
  for i, name in ipairs(names) do record[name] = values[i] or nil end
  return record
end

-- How many attempts a field counts: none, if it is garbage.
local function count_in(text)
  local digits = string.match(text or "", "^%d+$")
  return digits and #digits < 10 and tonumber(digits) or 0
end

-- Where an entry stands in its app's lists: in the order of the outbox, as a number that a double holds exactly.
local function position(id)
  local ms, number = string.match(id, "^(%d+)-(%d+)$")
  return ms * 1024 + math.min(number, 1023)
end

-- Takes a webhook out of the list of its state. Its size is kept apart from its record, which may have lapsed.
local function unlist(app, id, state)
  redis.call("ZREM", keys.deliveries(app, DELIVERY_STATUS[state]), id)
  if not KEPT[state] then return end
  local size = redis.call("HGET", keys.sizes(app, state), id)
  if size then
    use(app, state .. "_bytes", -size)
    redis.call("HDEL", keys.sizes(app, state), id)
  end
end

-- Drops the oldest records of a list that are too many, too large or have lapsed.
local function trim(app, state)
  local list = keys.deliveries(app, DELIVERY_STATUS[state])
  local max_bytes = KEPT[state].bytes or args.failed_bytes[app]
  for _ = 1, MAX_TRIMMED do
    local id = redis.call("ZRANGE", list, 0, 0)[1]
    if not id then return end
    local over = redis.call("ZCARD", list) > KEPT[state].count
      or used(app, state .. "_bytes") > max_bytes
    if not over and redis.call("EXISTS", keys.delivery(id)) == 1 then return end
    redis.call("DEL", keys.delivery(id))
    unlist(app, id, state)
  end
end

-- Gives a record its new state, and moves it to the list of that state. `old`: its state before, or false.
local function relist(app, id, state, old)
  local list, kept = keys.deliveries(app, DELIVERY_STATUS[state]), KEPT[state]
  if old and DELIVERY_STATUS[old] ~= DELIVERY_STATUS[state] then unlist(app, id, old) end
  -- The records of a list that has lapsed are gone too, but their sizes are still counted.
  if kept and redis.call("EXISTS", list) == 0 then
    redis.call("DEL", keys.sizes(app, state))
    redis.call("HDEL", keys.usage(app), state .. "_bytes")
  end
  redis.call("HSET", keys.delivery(id), "status", state)
  redis.call("ZADD", list, string.format("%.0f", position(id)), id)
  if kept then
    local size = redis.call("HSTRLEN", keys.delivery(id), "data")
    if redis.call("HSETNX", keys.sizes(app, state), id, size) == 1 then use(app, state .. "_bytes", size) end
    redis.call("EXPIRE", keys.delivery(id), kept.seconds)
    redis.call("EXPIRE", list, kept.seconds)
    trim(app, state)
  end
end

-- Stores when the app's retry queue (`aside`) is due next.
local function refresh_aside(app)
  local first = redis.call("ZRANGE", keys.aside(app), 0, 0, "WITHSCORES")
  if first[1] then redis.call("ZADD", keys.asides(), first[2], app) else redis.call("ZREM", keys.asides(), app) end
end

-- Puts a delivered or failed webhook into the retry queue, for as many attempts as a new one, if its record is kept.
local function send_again(app, id, old)
  local state = step("DELIVERY", old, "redeliver")
  local record = keys.delivery(id)
  local attempts = redis.call("HGET", record, "attempts")
  if not attempts then
    unlist(app, id, old)
    return
  end
  use(app, "webhook_bytes", redis.call("HSTRLEN", record, "data") + WEBHOOK_BYTES)
  redis.call("PERSIST", record)
  redis.call("HSET", record, "earlier", attempts, "next", NOW)
  relist(app, id, state, old)
  redis.call("ZADD", keys.aside(app), NOW, id)
end
