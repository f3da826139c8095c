-- Sets the URL and the types (JSON), until the configured URL changes (`url_base`: its fingerprint). Enables the
-- endpoint: what is stored about failures is about an earlier generation.
-- args: command app_id url types url_base

local key = keys.endpoint(args.app_id)
redis.call("HSET", key, "url", args.url, "types", args.types, "url_base", args.url_base)
redis.call("HINCRBY", key, "generation", 1)
redis.call("INCR", keys.endpoints())
log("command", args.command, { app = args.app_id })
return cjson.encode({ record = get(key) })
