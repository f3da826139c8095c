-- Makes A.secret the one to sign with, for as long as the configured one (A.configured, and A.secret_base for it) stays
-- what it is. The one before it signs too, for BOTH_MS.
local BOTH_MS = 86400000
local key = K.endpoint(A.app_id)
local set = redis.call("HMGET", key, "secret", "secret_base")
local before = set[2] == A.secret_base and set[1] or A.configured
redis.call("HSET", key, "secret", A.secret, "secret_base", A.secret_base, "old_secret", before, "old_until", NOW + BOTH_MS)
redis.call("INCR", K.endpoints())
log("command", A.command, { app = A.app_id })
return cjson.encode({ old_until = NOW + BOTH_MS })
