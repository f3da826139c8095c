-- Stores the results of attempts, each with its line in the event log. Running it twice changes nothing.
-- `failed_bytes`: by app, how many bytes of its failed webhooks are kept.
--
-- A result: id (outbox entry), app, type, n (attempts so far), step (its event in the table of deliveries), delay (ms,
-- to the next attempt), attempt (JSON for the record; absent when there was none), log (the fields of the line), and
-- about the endpoint: mark (which URL was tried), fault (why it failed), disable (why nothing more is to be sent).
--   skipped: the webhook is gone.
--   held: it stays in the outbox, and will be tried again.
--   aside: it leaves the outbox for the app's retry queue (`aside`).
--   delivered, failed: it leaves both, and its record stays for a while.
-- args: results failed_bytes
-- needs: dispatcher_fence deliveries

local MAX_ATTEMPTS = 20 -- kept in a record
local FAILING_MS = 5 * 86400000 -- after which an endpoint without a single success is disabled
local FAILING = "it has failed for 5 days"

local function forget(result, old)
  redis.call("DEL", keys.delivery(result.id))
  redis.call("HDEL", keys.held(), result.id)
  redis.call("ZREM", keys.aside(result.app), result.id)
  unlist(result.app, result.id, old)
end

local function keep(result, record, state, old, entry)
  if result.attempt then
    redis.call("HSET", record, "a" .. result.n, result.attempt)
    if result.n > MAX_ATTEMPTS then redis.call("HDEL", record, "a" .. (result.n - MAX_ATTEMPTS)) end
  end
  redis.call("HSET", record, "attempts", result.n, "next", NOW + result.delay)
  -- What leaves the outbox goes into the record, which from then on is all there is of the webhook.
  if entry and state ~= DELIVERY.held then redis.call("HSET", record, unpack(entry[2])) end
  relist(result.app, result.id, state, old)
end

-- Returns the state that a webhook is in now; nil when the result is known already, or its webhook is done with.
local function store(result)
  local record = keys.delivery(result.id)
  local old, attempts = unpack(redis.call("HMGET", record, "status", "attempts"))
  local entry = redis.call("XRANGE", keys.outbox(), result.id, result.id)[1]
  if not entry and old ~= DELIVERY.aside then
    -- Also of one that is in the retry queue without a record that says so.
    redis.call("ZREM", keys.aside(result.app), result.id)
    return nil
  end
  if result.attempt and old and count_in(attempts) >= result.n then return nil end
  local state = step("DELIVERY", old or DELIVERY.pending, result.step)
  if state ~= DELIVERY.held and state ~= DELIVERY.aside then
    local size = entry and #(fields_of(entry).data or "") or redis.call("HSTRLEN", record, "data")
    use(result.app, "webhook_bytes", -size - WEBHOOK_BYTES)
  end
  if state ~= DELIVERY.skipped then
    keep(result, record, state, old, entry)
  elseif old then
    forget(result, old)
  end
  if state == DELIVERY.held then
    redis.call("HSET", keys.held(), result.id, string.format("%d %.0f", result.n, NOW + result.delay))
    return state
  end
  if entry then redis.call("XDEL", keys.outbox(), result.id) end
  if old == DELIVERY.held then redis.call("HDEL", keys.held(), result.id) end
  if state == DELIVERY.aside then
    redis.call("ZADD", keys.aside(result.app), NOW + result.delay, result.id)
  elseif old == DELIVERY.aside then
    redis.call("ZREM", keys.aside(result.app), result.id)
  end
  return state
end

-- Stores how an endpoint does. `found`, from all attempts of this step: whether one was delivered, or else why not.
local function judge(app, found)
  local key = keys.endpoint(app)
  local mark, failing_since, disabled_at = unpack(redis.call("HMGET", key, "mark", "failing_since", "disabled_at"))
  local known = mark == found.mark
  if not known and (found.fault or failing_since or disabled_at) then
    redis.call("HDEL", key, "failing_since", "disabled_at", "reason")
    redis.call("HSET", key, "mark", found.mark)
  end
  local since = known and failing_since and tonumber(failing_since)
  if found.delivered then
    if since then redis.call("HDEL", key, "failing_since", "reason") end
  elseif found.fault then
    redis.call("HSET", key, "failing_since", since or NOW, "reason", found.fault)
  end
  local why = found.disable or (not found.delivered and since and NOW - since >= FAILING_MS and FAILING)
  if why and not (known and disabled_at) then
    redis.call("HSET", key, "disabled_at", NOW, "reason", why)
    redis.call("INCR", keys.endpoints())
    log("state", "webhook.endpoint.disabled", { app = app, reason = why })
  end
end

if fenced() then return refusal("fenced") end

-- The apps whose retry queue may be due at another time now, and how their endpoints did.
local queues, endpoints = {}, {}
for _, result in ipairs(args.results) do
  local state = store(result)
  if state then
    if result.delay > 0 then result.log.next_at = NOW + result.delay end
    log("delivery", result.type, result.log)
    if result.mark then
      local found = endpoints[result.app]
      -- A later mark is about a newer URL.
      if not found or found.mark ~= result.mark then
        found = { mark = result.mark }
        endpoints[result.app] = found
      end
      found.delivered = found.delivered or state == DELIVERY.delivered
      found.fault = result.fault or found.fault
      found.disable = result.disable or found.disable
    end
  end
  -- What is delivered by its first attempt was in no retry queue.
  if not state or state ~= DELIVERY.delivered or result.n > 1 then queues[result.app] = true end
end
for app in pairs(queues) do refresh_aside(app) end
for app, found in pairs(endpoints) do judge(app, found) end
return cjson.encode({ endpoints = tonumber(redis.call("GET", keys.endpoints()) or 0) or 0 })
