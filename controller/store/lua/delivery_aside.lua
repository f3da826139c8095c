-- The webhooks that stepped out of their lanes and are due again: at most A.page of an app, A.total in all, none of the
-- apps in A.busy (a set: theirs are under way). They stay where they are until settled. `wait`: ms until the next.
if redis.call("HGET", K.dispatcher(), "token") ~= string.format("%.0f", A.token) then
  return cjson.encode({ fenced = true })
end
local due, left = {}, A.total
for _, app in ipairs(redis.call("ZRANGEBYSCORE", K.asides(), "-inf", NOW)) do
  if left <= 0 then break end
  if not A.busy[app] then
    for _, id in ipairs(redis.call("ZRANGEBYSCORE", K.aside(app), "-inf", NOW, "LIMIT", 0, math.min(left, A.page))) do
      local r = redis.call("HMGET", K.delivery(id), "app", "type", "lane", "at", "data", "attempts")
      due[#due + 1] = { id, r[1], r[2], r[3], r[4], r[5], tonumber(r[6]) }
      left = left - 1
    end
  end
end
local later = redis.call("ZRANGEBYSCORE", K.asides(), "(" .. NOW, "+inf", "WITHSCORES", "LIMIT", 0, 1)
return cjson.encode({ due = #due > 0 and due or nil, wait = later[2] and later[2] - NOW or nil })
