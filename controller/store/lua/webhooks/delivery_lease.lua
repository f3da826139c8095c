-- A dispatcher says that it is alive and asks for a partition (args.number): args.owner, args.token (0: holds no lease), args.ttl (ms).
-- Partitions go round the living dispatchers in the order of their names, so that all agree who is due which. Whoever
-- holds one that is due another is told to yield, and gives it back with args.release. args.leaving: counts as dead from now.
local function lease()
  local l = redis.call("HMGET", keys.dispatcher(), "owner", "token", "until")
  return { owner = l[1], token = tonumber(l[2] or 0), till = tonumber(l[3] or 0) }
end

local l = lease()
local mine = args.token > 0 and l.token == args.token and l.owner == args.owner

-- A dispatcher that is about to leave keeps what it holds a little longer, and takes nothing.
if args.keep and not mine then return cjson.encode({ token = 0 }) end

if args.leaving then
  redis.call("ZREM", keys.dispatchers(), args.owner)
else
  redis.call("ZADD", keys.dispatchers(), NOW + args.ttl, args.owner)
end
redis.call("ZREMRANGEBYSCORE", keys.dispatchers(), "-inf", NOW)

if args.release or args.leaving then
  -- The token moves on, so that nothing the former owner still has under way can be written.
  if mine then redis.call("HSET", keys.dispatcher(), "owner", "", "token", l.token + 1, "until", 0) end
  return cjson.encode({ token = 0 })
end

local alive = redis.call("ZRANGE", keys.dispatchers(), 0, -1)
table.sort(alive)
local rightful = alive[args.number % #alive + 1] == args.owner

-- What the API may have changed since: settings of endpoints, and webhooks to be sent again (`aside`: ms until due).
local endpoints = tonumber(redis.call("GET", keys.endpoints()) or 0)
if mine then
  redis.call("HSET", keys.dispatcher(), "until", NOW + args.ttl)
  local first = redis.call("ZRANGE", keys.asides(), 0, 0, "WITHSCORES")
  local aside = first[2] and math.max(0, first[2] - NOW)
  if redis.call("EXISTS", keys.redeliveries()) == 1 then aside = 0 end
  return cjson.encode({ token = l.token, yield = not rightful, endpoints = endpoints, aside = aside or nil })
end
-- An own lease whose grant never arrived is taken anew.
if not rightful or (l.till > NOW and l.owner ~= args.owner) then return cjson.encode({ token = 0 }) end

redis.call("HSET", keys.dispatcher(), "owner", args.owner, "token", l.token + 1, "until", NOW + args.ttl)
local held = {}
local flat = redis.call("HGETALL", keys.held())
for i = 1, #flat, 2 do
  local attempts, next = string.match(flat[i + 1], "(%d+) (%d+)")
  held[#held + 1] = { flat[i], tonumber(attempts), tonumber(next) - NOW }
end
return cjson.encode({ token = l.token + 1, held = #held > 0 and held or nil, endpoints = endpoints })
