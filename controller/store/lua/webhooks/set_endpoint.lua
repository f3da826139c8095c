-- Sets the URL and the types (JSON) for as long as the configured URL (`url_base` stands for it) stays what it is, and
-- enables the endpoint: with a new generation, what was said of the one before is about another.
-- args: command app_id url types url_base

local key = keys.endpoint(args.app_id)
redis.call("HSET", key, "url", args.url, "types", args.types, "url_base", args.url_base)
redis.call("HINCRBY", key, "generation", 1)
redis.call("INCR", keys.endpoints())
log("command", args.command, { app = args.app_id })
return cjson.encode({ record = get(key) })
