-- Which audio relays live. KEYS[1] is the registry's tag. A relay that asks says so with its `address`, and lives for
-- `ttl` (ms) more; with 0 it leaves. `holder`: of the recordings that it keeps. Replies { relays, keepers }: their
-- addresses, and `address holder` of those that keep recordings.
-- args: address? ttl? holder?
-- lists: relays keepers

local function tell(key, member)
  redis.call("ZADD", key, NOW + args.ttl, member)
  redis.call("ZREMRANGEBYSCORE", key, "-inf", NOW)
end

local function living(key) return as_list(redis.call("ZRANGEBYSCORE", key, "(" .. NOW, "+inf")) end

if args.address then tell(keys.relays(), args.address) end
if args.holder then tell(keys.keepers(), args.address .. " " .. args.holder) end
return cjson.encode({ relays = living(keys.relays()), keepers = living(keys.keepers()) })
