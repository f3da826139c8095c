-- Keeps a link to the console, good once, for `ttl` (ms). `link`: the hash of its token. KEYS[1] is the registry's tag.
-- args: link principal ttl

redis.call("SET", keys.console_link(args.link), cjson.encode(args.principal), "PX", args.ttl)
return "{}"
