-- A worker says that it is alive and how many nodes it holds (KEYS[1] is the registry's tag), or leaves.
-- A.owner, A.held, A.ttl (ms), A.leaves. Answers { others }: how many nodes each other living worker holds.
if A.leaves then
  redis.call("ZREM", K.workers(), A.owner)
else
  redis.call("ZADD", K.workers(), NOW + A.ttl, A.owner)
  redis.call("HSET", K.worker_nodes(), A.owner, A.held)
end
for _, dead in ipairs(redis.call("ZRANGEBYSCORE", K.workers(), "-inf", NOW)) do
  redis.call("ZREM", K.workers(), dead)
  redis.call("HDEL", K.worker_nodes(), dead)
end
local others = {}
for _, worker in ipairs(redis.call("ZRANGE", K.workers(), 0, -1)) do
  if worker ~= A.owner then others[#others + 1] = tonumber(redis.call("HGET", K.worker_nodes(), worker)) end
end
return cjson.encode({ others = #others > 0 and others or nil })
