-- A dispatcher says that it is alive and asks for a partition (A.number): A.owner, A.token (0: holds no lease), A.ttl (ms).
-- Partitions go round the living dispatchers in the order of their names, so that all agree who is due which. Whoever
-- holds one that is due another is told to yield, and gives it back with A.release. A.leaving: counts as dead from now.
local function lease()
  local l = redis.call("HMGET", K.dispatcher(), "owner", "token", "until")
  return { owner = l[1], token = tonumber(l[2] or 0), till = tonumber(l[3] or 0) }
end

local l = lease()
local mine = A.token > 0 and l.token == A.token and l.owner == A.owner

-- A dispatcher that is about to leave keeps what it holds a little longer, and takes nothing.
if A.keep and not mine then return cjson.encode({ token = 0 }) end

if A.leaving then
  redis.call("ZREM", K.dispatchers(), A.owner)
else
  redis.call("ZADD", K.dispatchers(), NOW + A.ttl, A.owner)
end
redis.call("ZREMRANGEBYSCORE", K.dispatchers(), "-inf", NOW)

if A.release or A.leaving then
  -- The token moves on, so that nothing the former owner still has under way can be written.
  if mine then redis.call("HSET", K.dispatcher(), "owner", "", "token", l.token + 1, "until", 0) end
  return cjson.encode({ token = 0 })
end

local alive = redis.call("ZRANGE", K.dispatchers(), 0, -1)
table.sort(alive)
local rightful = alive[A.number % #alive + 1] == A.owner

-- What the API may have changed since: settings of endpoints, and webhooks to be sent again (`aside`: ms until due).
local endpoints = tonumber(redis.call("GET", K.endpoints()) or 0)
if mine then
  redis.call("HSET", K.dispatcher(), "until", NOW + A.ttl)
  local first = redis.call("ZRANGE", K.asides(), 0, 0, "WITHSCORES")
  local aside = first[2] and math.max(0, first[2] - NOW)
  if redis.call("EXISTS", K.redeliveries()) == 1 then aside = 0 end
  return cjson.encode({ token = l.token, yield = not rightful, endpoints = endpoints, aside = aside or nil })
end
-- An own lease whose grant never arrived is taken anew.
if not rightful or (l.till > NOW and l.owner ~= A.owner) then return cjson.encode({ token = 0 }) end

redis.call("HSET", K.dispatcher(), "owner", A.owner, "token", l.token + 1, "until", NOW + A.ttl)
local held = {}
local flat = redis.call("HGETALL", K.held())
for i = 1, #flat, 2 do
  local attempts, next = string.match(flat[i + 1], "(%d+) (%d+)")
  held[#held + 1] = { flat[i], tonumber(attempts), tonumber(next) - NOW }
end
return cjson.encode({ token = l.token + 1, held = #held > 0 and held or nil, endpoints = endpoints })
