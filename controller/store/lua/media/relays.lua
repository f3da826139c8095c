-- Which audio relays live. KEYS[1] is the registry's tag. A relay that asks says so with its `address`, and lives for
-- `ttl` (ms) more; with 0 it leaves. Replies { relays }: their addresses.
-- args: address? ttl?
-- lists: relays

if args.address then
  redis.call("ZADD", keys.relays(), NOW + args.ttl, args.address)
  redis.call("ZREMRANGEBYSCORE", keys.relays(), "-inf", NOW)
end
return cjson.encode({ relays = as_list(redis.call("ZRANGEBYSCORE", keys.relays(), "(" .. NOW, "+inf")) })
