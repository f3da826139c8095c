-- Keeps a link to the console, good once, for `ttl` (ms). `link`: the hash of its token. `limit`: how many links to its
-- portal an app may have that nobody has opened. Replies {}, or refuses. KEYS[1] is the registry's tag.
-- args: link principal ttl limit?

if args.limit then
  local links = keys.console_links(args.principal.app_id)
  redis.call("ZREMRANGEBYSCORE", links, "-inf", NOW)
  local count = redis.call("ZCARD", links)
  if count >= args.limit then
    return refusal("quota_exceeded", { quota = "portal_links", limit = args.limit, used = count })
  end
  redis.call("ZADD", links, NOW + args.ttl, args.link)
  redis.call("PEXPIRE", links, math.max(redis.call("PTTL", links), args.ttl))
end
redis.call("SET", keys.console_link(args.link), cjson.encode(args.principal), "PX", args.ttl)
return "{}"
