-- Says which `rooms` somebody watches to see who speaks, for `ttl` (ms) more: each a node's prefix and the room's id,
-- with a blank between. KEYS[1] is the registry's tag. Replies { watched }: all that are.
-- args: rooms? ttl?
-- lists: watched

for _, room in ipairs(args.rooms or {}) do redis.call("ZADD", keys.watched(), NOW + args.ttl, room) end
redis.call("ZREMRANGEBYSCORE", keys.watched(), "-inf", NOW)
return cjson.encode({ watched = as_list(redis.call("ZRANGE", keys.watched(), 0, -1)) })
