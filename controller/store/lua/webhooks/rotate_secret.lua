-- Makes `secret` the one to sign with, until the `configured` secret changes (`secret_base`: its fingerprint). For
-- BOTH_MS the secret before signs too. Replies { secret, old_until }.
-- args: command app_id secret secret_base configured

local BOTH_MS = 86400000

local key = keys.endpoint(args.app_id)
local own, base = unpack(redis.call("HMGET", key, "secret", "secret_base"))
local before = base == args.secret_base and own or args.configured
redis.call("HSET", key, "secret", args.secret, "secret_base", args.secret_base,
  "old_secret", before, "old_until", NOW + BOTH_MS)
redis.call("INCR", keys.endpoints())
log("command", args.command, { app = args.app_id })
return cjson.encode({ secret = args.secret, old_until = NOW + BOTH_MS })
