-- Says which `sessions` speak in a room on a node, for `ttl` (ms) unless it is said again. KEYS[1] is the node's tag.
-- args: room_id sessions ttl

local key = keys.speaking(args.room_id)
redis.call("DEL", key)
for _, session in ipairs(args.sessions) do redis.call("SADD", key, session) end
redis.call("PEXPIRE", key, args.ttl)
return "{}"
