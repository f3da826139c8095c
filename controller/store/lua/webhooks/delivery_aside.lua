-- Reads the webhooks of the retry queues (`aside`) that are due: at most `page` of an app, `total` in all, none of the
-- apps in `busy` (a set), whose webhooks are being sent. They stay there until their results are stored. Before that, a
-- part of those to be sent again (redeliver_range.lua) is moved into the queues. What cannot be read is taken out of
-- them. `wait`: ms until the next is due.
-- args: page total busy
-- needs: dispatcher_fence deliveries records
-- lists: due

local MAX_REDELIVERED = 50 -- failed webhooks of an app moved at a time
local MAX_BYTES = 512 * 1024 -- loaded at a time, approximately
local MAX_ASIDE = 1000 -- webhooks of an app; from there on no more are moved
local REDELIVER_MS = 50 -- between two such parts

-- Moves a part of the failed webhooks of an app in a range.
local function redeliver(app, range)
  if redis.call("ZCARD", keys.aside(app)) >= MAX_ASIDE then return end
  local from, to = string.match(range, "^(%S+) (%S+)$")
  local list = keys.deliveries(app, DELIVERY_STATUS.failed)
  local found = redis.call("ZRANGEBYSCORE", list, from, to, "WITHSCORES", "LIMIT", 0, MAX_REDELIVERED)
  for i = 1, #found, 2 do try(found[i], send_again, app, found[i], DELIVERY.failed) end
  if #found < MAX_REDELIVERED * 2 then
    redis.call("HDEL", keys.redeliveries(), app)
  else
    -- Goes on behind these, so that one that fails again is not moved again.
    redis.call("HSET", keys.redeliveries(), app, "(" .. found[#found] .. " " .. to)
  end
  refresh_aside(app)
end

local FIELDS = { "type", "lane", "at", "data", "attempts", "earlier", "trace" }

local function read(app, id)
  local record = read_record(id, FIELDS)
  local attempts = count_in(record.attempts)
  return { id, app, text_in(record, "type"), text_in(record, "lane"), number_in(record, "at", 14),
    text_in(record, "data"), attempts, math.min(count_in(record.earlier), attempts), record.trace or "" }
end

-- Takes a webhook that cannot be read out of the retry queue. What there is of it stays for as long as of a failed one.
local function drop(app, id)
  local record = keys.delivery(id)
  redis.call("ZREM", keys.aside(app), id)
  unlist(app, DELIVERY.aside, { id })
  use(app, "webhook_bytes", -redis.call("HSTRLEN", record, "data") - WEBHOOK_BYTES)
  redis.call("EXPIRE", record, KEPT[DELIVERY.failed].seconds)
end

if fenced() then return refusal("fenced") end
local ranges = redis.call("HGETALL", keys.redeliveries())
for i = 1, #ranges, 2 do
  local app = ranges[i]
  if not try(app, redeliver, app, ranges[i + 1]) then redis.call("HDEL", keys.redeliveries(), app) end
end

local due, left, bytes = {}, args.total, MAX_BYTES
for _, app in ipairs(redis.call("ZRANGEBYSCORE", keys.asides(), "-inf", NOW)) do
  if left <= 0 or bytes <= 0 then break end
  if not args.busy[app] then
    local count = math.min(left, args.page)
    local ids = redis.call("ZRANGEBYSCORE", keys.aside(app), "-inf", NOW, "LIMIT", 0, count)
    for _, id in ipairs(ids) do
      local succeeded, webhook = try(id, read, app, id)
      if succeeded then
        due[#due + 1] = webhook
        left, bytes = left - 1, bytes - redis.call("HSTRLEN", keys.delivery(id), "data")
        if bytes <= 0 then break end
      else
        try(id, drop, app, id)
      end
    end
    refresh_aside(app)
  end
end
local later = redis.call("ZRANGEBYSCORE", keys.asides(), "(" .. NOW, "+inf", "WITHSCORES", "LIMIT", 0, 1)
local wait = later[2] and later[2] - NOW
if redis.call("EXISTS", keys.redeliveries()) == 1 then wait = math.min(wait or REDELIVER_MS, REDELIVER_MS) end
return cjson.encode({ due = as_list(due), wait = wait or nil, broken = as_list(broken) })
