-- Gives the lease on a node back (KEYS[1] is the node's tag). A.handover: another worker takes it in a moment, so
-- commands are accepted on.
local owner = string.match(redis.call("GET", K.lease()) or "", "^%d+ (.+)$")
if owner ~= A.owner then return cjson.encode({ released = false }) end
redis.call("DEL", K.lease())
if not A.handover then redis.call("DEL", K.live()) end
return cjson.encode({ released = true })
