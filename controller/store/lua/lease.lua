-- Takes or renews the lease on a node (KEYS[1] is the node's tag), and says whether the node is reachable. Who has just
-- taken it does not know yet, and leaves it at what was said before.
-- A.owner, A.ttl (ms), A.up, A.live_ttl (ms), A.load, A.core_uuid. Answers { token } or { held_by }.
local token, owner = string.match(redis.call("GET", K.lease()) or "", "^(%d+) (.+)$")
if owner and owner ~= A.owner then return cjson.encode({ held_by = owner }) end
if not owner then token = redis.call("INCR", K.token()) end
redis.call("SET", K.lease(), token .. " " .. A.owner, "PX", A.ttl)
if A.up then
  redis.call("HSET", K.live(), "load", A.load, "core_uuid", A.core_uuid, "at", NOW)
  redis.call("PEXPIRE", K.live(), A.live_ttl)
  redis.call("SET", K.core(), A.core_uuid)
elseif A.up == false then
  redis.call("DEL", K.live())
end
return cjson.encode({ token = tonumber(token) })
