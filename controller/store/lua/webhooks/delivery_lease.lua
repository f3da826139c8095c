-- A dispatcher says that it is alive and asks for a partition (its `number`). `token`: 0 when it holds no lease; `ttl`:
-- ms. Partitions go round the living dispatchers in the order of their names, so that all agree who is to hold which.
-- If another is to hold the partition, the reply has `yield`, and the holder gives it back with `release`. `keep`: it
-- takes no partition that it does not hold. `leaving`: it counts as dead from now. Replies { token }, 0 when it does
-- not hold the partition.
-- args: owner token ttl number keep? release? leaving?
-- needs: living
-- lists: held

local holder, held_token, held_until = unpack(redis.call("HMGET", keys.dispatcher(), "owner", "token", "until"))
-- The first token is higher than any before, which a dispatcher may hold still, if the store has lost its data.
held_token, held_until = tonumber(held_token or NOW) or 0, tonumber(held_until or 0) or 0
local mine = args.token > 0 and held_token == args.token and holder == args.owner

-- A dispatcher that is about to leave keeps what it holds a little longer, and takes nothing.
if args.keep and not mine then return cjson.encode({ token = 0 }) end

if args.leaving then
  redis.call("ZREM", keys.dispatchers(), args.owner)
else
  redis.call("ZADD", keys.dispatchers(), NOW + args.ttl, args.owner)
end
forget_dead(keys.dispatchers(), args.ttl)

if args.release or args.leaving then
  -- The token moves on, so that nothing the former owner still has under way can be written.
  if mine then redis.call("HSET", keys.dispatcher(), "owner", "", "token", held_token + 1, "until", 0) end
  return cjson.encode({ token = 0 })
end

local alive = redis.call("ZRANGE", keys.dispatchers(), 0, -1)
table.sort(alive)
local rightful = alive[args.number % #alive + 1] == args.owner

-- What the API may have changed since: settings of endpoints, and webhooks to be sent again (`aside`: ms until due).
local endpoints = tonumber(redis.call("GET", keys.endpoints()) or 0) or 0
if mine then
  redis.call("HSET", keys.dispatcher(), "until", NOW + args.ttl)
  local first = redis.call("ZRANGE", keys.asides(), 0, 0, "WITHSCORES")
  local aside = first[2] and math.max(0, first[2] - NOW)
  if redis.call("EXISTS", keys.redeliveries()) == 1 then aside = 0 end
  return cjson.encode({ token = held_token, yield = not rightful, endpoints = endpoints, aside = aside or nil })
end
if held_until > NOW + args.ttl then
  -- It was taken before the clock was set back.
  held_until = NOW + args.ttl
  redis.call("HSET", keys.dispatcher(), "until", held_until)
end
-- A lease of its own, whose reply never arrived, is taken anew.
if not rightful or (held_until > NOW and holder ~= args.owner) then return cjson.encode({ token = 0 }) end

redis.call("HSET", keys.dispatcher(), "owner", args.owner, "token", held_token + 1, "until", NOW + args.ttl)
local held = {}
local flat = redis.call("HGETALL", keys.held())
for i = 1, #flat, 2 do
  local attempts, next_at = string.match(flat[i + 1], "^(%d+) (%d+)$")
  if not attempts then
    -- What cannot be read is tried again at once, and its record says how often it was.
    attempts, next_at = redis.call("HGET", keys.delivery(flat[i]), "attempts"), NOW
  end
  held[#held + 1] = { flat[i], tonumber(attempts or 0) or 0, tonumber(next_at) - NOW }
end
return cjson.encode({ token = held_token + 1, held = as_list(held), endpoints = endpoints })
