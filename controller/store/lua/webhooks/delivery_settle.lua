-- include: deliveries
-- Stores what became of attempts (args.results), each with its line in the event log, unless another dispatcher holds the
-- partition by now (args.token). args.failed_bytes: by app, how much of its failed webhooks is kept. A result: id (outbox
-- entry), app, n (attempts so far), step, delay (ms, to the next attempt), attempt (JSON for the record; absent when there
-- was none), log (what the line says), and about the endpoint mark (of whom this is said), fault (why it failed), disable
-- (why no more is to be sent). Running it twice changes nothing.
--   skipped: the webhook is gone.   held: it stays in the outbox, and will be tried again.   aside: it leaves the outbox
--   for the app's `aside`.          delivered, failed: it leaves both, and its record stays for a while.
local ATTEMPTS = 20 -- kept in a record
local FAILING_MS = 5 * 86400000 -- after which an endpoint without a single success is disabled
local FAILING = "it has failed for 5 days"

if redis.call("HGET", keys.dispatcher(), "token") ~= string.format("%.0f", args.token) then
  return cjson.encode({ fenced = true })
end

local function forget(r, old)
  redis.call("DEL", keys.delivery(r.id))
  redis.call("HDEL", keys.held(), r.id)
  redis.call("ZREM", keys.aside(r.app), r.id)
  unlist(r.app, r.id, old)
end

local function keep(r, record, old, entry)
  if r.attempt then
    redis.call("HSET", record, "a" .. r.n, r.attempt)
    if r.n > ATTEMPTS then redis.call("HDEL", record, "a" .. (r.n - ATTEMPTS)) end
  end
  redis.call("HSET", record, "attempts", r.n, "next", NOW + r.delay)
  -- What leaves the outbox goes into the record, which from then on is all there is of the webhook.
  if entry and r.step ~= "held" then redis.call("HSET", record, unpack(entry[2])) end
  file(r.app, r.id, r.step, old)
end

-- False when the result is known already, or is about a webhook that is settled.
local function settle(r)
  local record = keys.delivery(r.id)
  local stored = redis.call("HMGET", record, "status", "attempts")
  local old, entry = stored[1], redis.call("XRANGE", keys.outbox(), r.id, r.id)[1]
  if not entry and old ~= "aside" then return false end
  if r.attempt and old and tonumber(stored[2]) >= r.n then return false end
  if r.step ~= "held" and r.step ~= "aside" then
    local size = entry and #(fields_of(entry).data or "") or redis.call("HSTRLEN", record, "data")
    use(r.app, "webhook_bytes", -size - WEBHOOK_BYTES)
  end
  if r.step == "skipped" then
    if old then forget(r, old) end
  else
    keep(r, record, old, entry)
  end
  if r.step == "held" then
    redis.call("HSET", keys.held(), r.id, string.format("%d %.0f", r.n, NOW + r.delay))
    return true
  end
  if entry then redis.call("XDEL", keys.outbox(), r.id) end
  if old == "held" then redis.call("HDEL", keys.held(), r.id) end
  if r.step == "aside" then
    redis.call("ZADD", keys.aside(r.app), NOW + r.delay, r.id)
  elseif old == "aside" then
    redis.call("ZREM", keys.aside(r.app), r.id)
  end
  return true
end

-- How an endpoint does, from all that was tried of it: whether any was delivered, else why not.
local function judge(app, found)
  local key = keys.endpoint(app)
  local e = redis.call("HMGET", key, "mark", "failing_since", "disabled_at")
  local known = e[1] == found.mark
  if not known and (found.fault or e[2] or e[3]) then
    redis.call("HDEL", key, "failing_since", "disabled_at", "reason")
    redis.call("HSET", key, "mark", found.mark)
  end
  local since = known and e[2] and tonumber(e[2])
  if found.delivered then
    if since then redis.call("HDEL", key, "failing_since", "reason") end
  elseif found.fault then
    redis.call("HSET", key, "failing_since", since or NOW, "reason", found.fault)
  end
  local why = found.disable or (not found.delivered and since and NOW - since >= FAILING_MS and FAILING)
  if why and not (known and e[3]) then
    redis.call("HSET", key, "disabled_at", NOW, "reason", why)
    redis.call("INCR", keys.endpoints())
    log("state", "webhook.endpoint.disabled", { app = app, reason = why })
  end
end

local apps, endpoints = {}, {}
for _, r in ipairs(args.results) do
  if settle(r) then
    if r.delay > 0 then r.log.next_at = NOW + r.delay end
    log("delivery", r.type, r.log)
    if r.mark then
      local found = endpoints[r.app]
      -- A later mark is about a newer URL.
      if not found or found.mark ~= r.mark then
        found = { mark = r.mark }
        endpoints[r.app] = found
      end
      found.delivered = found.delivered or r.step == "delivered"
      found.fault = r.fault or found.fault
      found.disable = r.disable or found.disable
    end
  end
  if r.step ~= "delivered" or r.n > 1 then apps[r.app] = true end
end
for app in pairs(apps) do refresh_aside(app) end
for app, found in pairs(endpoints) do judge(app, found) end
return cjson.encode({ endpoints = tonumber(redis.call("GET", keys.endpoints()) or 0) })
