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

-- Takes webhooks out of the list of their state. Their sizes are kept apart from their records, which may have lapsed.
local function unlist(app, state, ids)
  redis.call("ZREM", keys.deliveries(app, DELIVERY_STATUS[state]), unpack(ids))
  if not KEPT[state] then return end
  local bytes = 0
  for _, size in ipairs(redis.call("HMGET", keys.sizes(app, state), unpack(ids))) do bytes = bytes + (size or 0) end
  if bytes > 0 then use(app, state .. "_bytes", -bytes) end
  redis.call("HDEL", keys.sizes(app, state), unpack(ids))
end

-- Drops the oldest records of a list that are too many, too large or have lapsed; so many at the most.
local function trim(app, state, most)
  local list, records, dropped = keys.deliveries(app, DELIVERY_STATUS[state]), {}, {}
  local oldest = redis.call("ZRANGE", list, 0, most - 1)
  local sizes = redis.call("HMGET", keys.sizes(app, state), unpack(oldest))
  local count, bytes = redis.call("ZCARD", list), used(app, state .. "_bytes")
  local max_count, max_bytes = KEPT[state].count, KEPT[state].bytes or args.failed_bytes[app]
  for i, id in ipairs(oldest) do
    local over = count > max_count or bytes > max_bytes
    if not over and redis.call("EXISTS", keys.delivery(id)) == 1 then break end
    dropped[i], records[i] = id, keys.delivery(id)
    count, bytes = count - 1, bytes - (sizes[i] or 0)
  end
  if not dropped[1] then return end
  redis.call("DEL", unpack(records))
  unlist(app, state, dropped)
end

-- Adds records to the list of their state. `sizes`: of their data, in bytes.
local function enlist(app, state, ids, sizes)
  local list, kept, scored = keys.deliveries(app, DELIVERY_STATUS[state]), KEPT[state], {}
  -- The records of a list that has lapsed are gone too, but their sizes are still counted.
  if kept and redis.call("EXISTS", list) == 0 then
    redis.call("DEL", keys.sizes(app, state))
    redis.call("HDEL", keys.usage(app), state .. "_bytes")
  end
  for i, id in ipairs(ids) do scored[2 * i - 1], scored[2 * i] = string.format("%.0f", position(id)), id end
  redis.call("ZADD", list, unpack(scored))
  if not kept then return end
  local sized, bytes = {}, 0
  for i, id in ipairs(ids) do
    redis.call("EXPIRE", keys.delivery(id), kept.seconds)
    sized[2 * i - 1], sized[2 * i] = id, sizes[i]
    bytes = bytes + sizes[i]
  end
  redis.call("HSET", keys.sizes(app, state), unpack(sized))
  use(app, state .. "_bytes", bytes)
  redis.call("EXPIRE", list, kept.seconds)
  trim(app, state, MAX_TRIMMED * #ids)
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
    unlist(app, old, { id })
    return
  end
  use(app, "webhook_bytes", redis.call("HSTRLEN", record, "data") + WEBHOOK_BYTES)
  redis.call("PERSIST", record)
  redis.call("HSET", record, "earlier", attempts, "next", NOW, "status", state)
  unlist(app, old, { id })
  enlist(app, state, { id })
  redis.call("ZADD", keys.aside(app), NOW, id)
end
