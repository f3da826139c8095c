-- Sets URL (A.url) and types (A.types, JSON) for as long as the configured URL stays what it is (A.url_base), and enables
-- the endpoint: with a new generation, what was said of the one before is about another.
local key = K.endpoint(A.app_id)
redis.call("HSET", key, "url", A.url, "types", A.types, "url_base", A.url_base)
redis.call("HINCRBY", key, "generation", 1)
redis.call("INCR", K.endpoints())
log("command", A.command, { app = A.app_id })
return cjson.encode({ record = get(key) })
