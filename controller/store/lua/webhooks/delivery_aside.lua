-- Reads the webhooks of the retry queues (`aside`) that are due: at most `page` of an app, `total` in all, none of the
-- apps in `busy` (a set), whose webhooks are being sent. They stay there until their results are stored. Before that, a
-- part of those to be sent again (redeliver_range.lua) is moved into the queues. `wait`: ms until the next is due.
-- args: page total busy
-- needs: dispatcher_fence deliveries
-- lists: due

local MAX_REDELIVERED = 50 -- failed webhooks of an app moved at a time
local MAX_BYTES = 512 * 1024 -- loaded at a time, approximately
local MAX_ASIDE = 1000 -- webhooks of an app; from there on no more are moved
local REDELIVER_MS = 50 -- between two such parts

if fenced() then return refusal("fenced") end

local ranges = redis.call("HGETALL", keys.redeliveries())
for i = 1, #ranges, 2 do
  local app = ranges[i]
  if redis.call("ZCARD", keys.aside(app)) < MAX_ASIDE then
    local from, to = string.match(ranges[i + 1], "(%S+) (%S+)")
    local list = keys.deliveries(app, DELIVERY_STATUS.failed)
    local found = redis.call("ZRANGEBYSCORE", list, from, to, "WITHSCORES", "LIMIT", 0, MAX_REDELIVERED)
    for j = 1, #found, 2 do send_again(app, found[j], DELIVERY.failed) end
    if #found < MAX_REDELIVERED * 2 then
      redis.call("HDEL", keys.redeliveries(), app)
    else
      -- Goes on behind these, so that one that fails again is not moved again.
      redis.call("HSET", keys.redeliveries(), app, "(" .. found[#found] .. " " .. to)
    end
    refresh_aside(app)
  end
end

local due, left, bytes = {}, args.total, MAX_BYTES
for _, app in ipairs(redis.call("ZRANGEBYSCORE", keys.asides(), "-inf", NOW)) do
  if left <= 0 or bytes <= 0 then break end
  if not args.busy[app] then
    local count = math.min(left, args.page)
    for _, id in ipairs(redis.call("ZRANGEBYSCORE", keys.aside(app), "-inf", NOW, "LIMIT", 0, count)) do
      local type, lane, at, data, attempts, earlier =
        unpack(redis.call("HMGET", keys.delivery(id), "type", "lane", "at", "data", "attempts", "earlier"))
      due[#due + 1] = { id, app, type, lane, at, data, tonumber(attempts), tonumber(earlier or 0) }
      left, bytes = left - 1, bytes - #(data or "")
      if bytes <= 0 then break end
    end
  end
end
local later = redis.call("ZRANGEBYSCORE", keys.asides(), "(" .. NOW, "+inf", "WITHSCORES", "LIMIT", 0, 1)
local wait = later[2] and later[2] - NOW
if redis.call("EXISTS", keys.redeliveries()) == 1 then wait = math.min(wait or REDELIVER_MS, REDELIVER_MS) end
return cjson.encode({ due = as_list(due), wait = wait or nil })
