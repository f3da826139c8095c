-- include: deliveries
-- The webhooks that stepped out of their lanes and are due again: at most args.page of an app, args.total in all, none of the
-- apps in args.busy (a set: theirs are under way). They stay where they are until settled. `wait`: ms until the next.
-- Before that, a part of what is to be sent again (redeliver_range.lua) is put among them.
local AGAIN = 50 -- failed webhooks of an app put there at a time
local BYTES = 512 * 1024 -- loaded at a time, about
local QUEUE = 1000 -- while so many are there, no more are
local AGAIN_MS = 50 -- between two such parts
if redis.call("HGET", keys.dispatcher(), "token") ~= string.format("%.0f", args.token) then
  return cjson.encode({ fenced = true })
end

local jobs = redis.call("HGETALL", keys.redeliveries())
for i = 1, #jobs, 2 do
  local app = jobs[i]
  if redis.call("ZCARD", keys.aside(app)) < QUEUE then
    local from, to = string.match(jobs[i + 1], "(%S+) (%S+)")
    local found =
      redis.call("ZRANGEBYSCORE", keys.deliveries(app, "failed"), from, to, "WITHSCORES", "LIMIT", 0, AGAIN)
    for j = 1, #found, 2 do send_again(app, found[j], "failed") end
    if #found < AGAIN * 2 then
      redis.call("HDEL", keys.redeliveries(), app)
    else
      -- Past these: one that fails again is not taken up again.
      redis.call("HSET", keys.redeliveries(), app, "(" .. found[#found] .. " " .. to)
    end
    refresh_aside(app)
  end
end

local due, left, bytes = {}, args.total, BYTES
for _, app in ipairs(redis.call("ZRANGEBYSCORE", keys.asides(), "-inf", NOW)) do
  if left <= 0 or bytes <= 0 then break end
  if not args.busy[app] then
    for _, id in ipairs(redis.call("ZRANGEBYSCORE", keys.aside(app), "-inf", NOW, "LIMIT", 0, math.min(left, args.page))) do
      local r = redis.call("HMGET", keys.delivery(id), "app", "type", "lane", "at", "data", "attempts", "earlier")
      due[#due + 1] = { id, r[1], r[2], r[3], r[4], r[5], tonumber(r[6]), tonumber(r[7] or 0) }
      left, bytes = left - 1, bytes - #(r[5] or "")
      if bytes <= 0 then break end
    end
  end
end
local later = redis.call("ZRANGEBYSCORE", keys.asides(), "(" .. NOW, "+inf", "WITHSCORES", "LIMIT", 0, 1)
local wait = later[2] and later[2] - NOW
if redis.call("EXISTS", keys.redeliveries()) == 1 then wait = math.min(wait or AGAIN_MS, AGAIN_MS) end
return cjson.encode({ due = #due > 0 and due or nil, wait = wait or nil })
