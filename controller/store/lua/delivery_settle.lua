-- Stores what became of attempts (A.results), each with its line in the event log, unless another dispatcher holds the
-- partition by now (A.token). A result: id (outbox entry), app, n (attempt number), step, delay (ms, to the next attempt),
-- attempt (JSON, kept in the record), log (what the line says). Running it twice changes nothing.
--   delivered, skipped: the webhook is gone.          held: it stays in the outbox, and will be tried again.
--   aside: it leaves the outbox for the app's `aside`. failed: it leaves both, and its record stays for KEEP_S.
local KEEP_S = 30 * 86400

if redis.call("HGET", K.dispatcher(), "token") ~= string.format("%.0f", A.token) then
  return cjson.encode({ fenced = true })
end

-- From the outbox or the lane into the record, which from then on is all there is of the webhook.
local function step_out(id, record)
  local entry = redis.call("XRANGE", K.outbox(), id, id)[1]
  if entry then
    redis.call("HSET", record, unpack(entry[2]))
    redis.call("XDEL", K.outbox(), id)
  end
  redis.call("HDEL", K.held(), id)
end

local function gone(r, record)
  local removed = redis.call("XDEL", K.outbox(), r.id)
  if r.n > 1 then
    removed = removed + redis.call("DEL", record)
    redis.call("HDEL", K.held(), r.id)
    redis.call("ZREM", K.aside(r.app), r.id)
  end
  return removed > 0
end

local function attempted(r, record, status)
  local stored = redis.call("HGET", record, "attempts")
  if stored and tonumber(stored) >= r.n then return false end
  -- Neither in the outbox nor on record: it was settled before.
  if not stored and #redis.call("XRANGE", K.outbox(), r.id, r.id) == 0 then return false end
  redis.call("HSET", record, "status", status, "attempts", r.n, "next", NOW + r.delay, "a" .. r.n, r.attempt)
  return true
end

local STEPS = {
  delivered = gone,
  skipped = gone,
  held = function(r, record)
    if not attempted(r, record, "held") then return false end
    redis.call("HSET", K.held(), r.id, string.format("%d %.0f", r.n, NOW + r.delay))
    return true
  end,
  aside = function(r, record)
    if not attempted(r, record, "aside") then return false end
    step_out(r.id, record)
    redis.call("ZADD", K.aside(r.app), NOW + r.delay, r.id)
    return true
  end,
  failed = function(r, record)
    if not attempted(r, record, "failed") then return false end
    step_out(r.id, record)
    redis.call("ZREM", K.aside(r.app), r.id)
    redis.call("EXPIRE", record, KEEP_S)
    redis.call("ZADD", K.failed(r.app), NOW, r.id)
    redis.call("ZREMRANGEBYSCORE", K.failed(r.app), "-inf", NOW - KEEP_S * 1000)
    return true
  end,
}

local apps = {}
for _, r in ipairs(A.results) do
  if STEPS[r.step](r, K.delivery(r.id)) then
    if r.delay > 0 then r.log.next_at = NOW + r.delay end
    log("delivery", r.type, r.log)
  end
  if r.step == "aside" or r.n > 1 then apps[r.app] = true end
end

for app in pairs(apps) do
  local first = redis.call("ZRANGE", K.aside(app), 0, 0, "WITHSCORES")
  if first[1] then redis.call("ZADD", K.asides(), first[2], app) else redis.call("ZREM", K.asides(), app) end
end
return "{}"
