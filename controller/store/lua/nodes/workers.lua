-- A worker says that it is alive and how many nodes it holds (`held`), or that it is `leaving`. KEYS[1] is the
-- registry's tag; `ttl`: ms. Replies { others }: how many nodes each other living worker holds.
-- args: owner held ttl leaving?
-- needs: living
-- lists: others

if args.leaving then
  redis.call("ZREM", keys.workers(), args.owner)
else
  redis.call("ZADD", keys.workers(), NOW + args.ttl, args.owner)
  redis.call("HSET", keys.worker_nodes(), args.owner, args.held)
end
for _, dead in ipairs(forget_dead(keys.workers(), args.ttl)) do redis.call("HDEL", keys.worker_nodes(), dead) end
local others = {}
for _, worker in ipairs(redis.call("ZRANGE", keys.workers(), 0, -1)) do
  if worker ~= args.owner then others[#others + 1] = tonumber(redis.call("HGET", keys.worker_nodes(), worker)) end
end
return cjson.encode({ others = as_list(others) })
