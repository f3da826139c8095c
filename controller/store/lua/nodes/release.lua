-- Gives the lease on a node back (KEYS[1] is the node's tag). `handover`: another worker takes it in a moment, so
-- commands are accepted meanwhile.
-- args: owner handover?

local owner = string.match(redis.call("GET", keys.lease()) or "", "^%d+ (.+)$")
if owner ~= args.owner then return cjson.encode({ released = false }) end
redis.call("DEL", keys.lease())
if not args.handover then redis.call("DEL", keys.live()) end
return cjson.encode({ released = true })
