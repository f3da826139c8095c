-- Gives the lease on a node back (KEYS[1] is the node's tag).
local owner = string.match(redis.call("GET", K.lease()) or "", "^%d+ (.+)$")
if owner ~= A.owner then return cjson.encode({ released = false }) end
redis.call("DEL", K.lease(), K.live())
return cjson.encode({ released = true })
