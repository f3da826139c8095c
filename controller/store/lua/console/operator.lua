-- Adds, changes or removes an operator of the console (KEYS[1] is the registry's tag). `record`: JSON; without it the
-- operator is removed. There must be one of the `name` already, or with `is_new` none. Replies { done }.
-- args: name is_new record?

local exists = redis.call("HEXISTS", keys.operators(), args.name) == 1
if exists == args.is_new then return cjson.encode({ done = false }) end
if args.record then
  redis.call("HSET", keys.operators(), args.name, args.record)
else
  redis.call("HDEL", keys.operators(), args.name)
end
return cjson.encode({ done = true })
