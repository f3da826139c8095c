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
  unlist(result.app, old, { result.id })
end

-- `fields`: of the entry that goes into the record, a flat list. `size`: of the data.
local function keep(result, state, old, fields, size, listed)
  local record = keys.delivery(result.id)
  if old and DELIVERY_STATUS[old] ~= DELIVERY_STATUS[state] then unlist(result.app, old, { result.id }) end
  if result.attempt then
    fields[#fields + 1], fields[#fields + 2] = "a" .. result.n, result.attempt
    if result.n > MAX_ATTEMPTS then redis.call("HDEL", record, "a" .. (result.n - MAX_ATTEMPTS)) end
  end
  redis.call("HSET", record, "status", state, "attempts", result.n, "next", NOW + result.delay, unpack(fields))
  listed[result.app] = listed[result.app] or {}
  local found = listed[result.app][state] or { ids = {}, sizes = {} }
  listed[result.app][state] = found
  found.ids[#found.ids + 1], found.sizes[#found.sizes + 1] = result.id, size
end

-- Returns the state that a webhook is in now; nil when the result is known already, or its webhook is done with.
-- `together`: what is done for all results at once is added to it.
local function store(result, together)
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
  local size = entry and #(fields_of(entry).data or "") or redis.call("HSTRLEN", record, "data")
  if state ~= DELIVERY.skipped then
    -- What leaves the outbox goes into the record, which from then on is all there is of the webhook.
    keep(result, state, old, entry and state ~= DELIVERY.held and entry[2] or {}, size, together.listed)
  elseif old then
    forget(result, old)
  end
  if state == DELIVERY.held then
    redis.call("HSET", keys.held(), result.id, string.format("%d %.0f", result.n, NOW + result.delay))
    return state
  end
  if entry then together.gone[#together.gone + 1] = result.id end
  if old == DELIVERY.held then redis.call("HDEL", keys.held(), result.id) end
  if state == DELIVERY.aside then
    redis.call("ZADD", keys.aside(result.app), NOW + result.delay, result.id)
  else
    together.freed[result.app] = (together.freed[result.app] or 0) + size + WEBHOOK_BYTES
    if old == DELIVERY.aside then redis.call("ZREM", keys.aside(result.app), result.id) end
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
-- What is done for all results at once: entries that leave the outbox, the bytes that are no longer undelivered by app,
-- and by app and state what comes into the lists.
local together = { gone = {}, freed = {}, listed = {} }
-- Why something could not be stored. All else is, as the other results are known already when they come again.
local problem

local function attempt(action, ...)
  local succeeded, found = pcall(action, ...)
  if succeeded then return found end
  problem = problem or found
end

for _, result in ipairs(args.results) do
  local state = attempt(store, result, together)
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
if together.gone[1] then redis.call("XDEL", keys.outbox(), unpack(together.gone)) end
for app, bytes in pairs(together.freed) do attempt(use, app, "webhook_bytes", -bytes) end
for app, states in pairs(together.listed) do
  for state, found in pairs(states) do attempt(enlist, app, state, found.ids, found.sizes) end
end
for app in pairs(queues) do attempt(refresh_aside, app) end
for app, found in pairs(endpoints) do attempt(judge, app, found) end
if problem then error(type(problem) == "table" and problem.err or problem) end
return cjson.encode({ endpoints = tonumber(redis.call("GET", keys.endpoints()) or 0) or 0 })
