-- Changes who there is (KEYS[1] is the registry's tag): A.put, JSON by name, and A.gone, names, both by table (apps, nodes).
-- Answers how many entries were removed.
local removed = 0
for kind, entries in pairs(A.put) do
  for name, entry in pairs(entries) do redis.call("HSET", K[kind](), name, entry) end
end
for kind, names in pairs(A.gone) do
  for _, name in ipairs(names) do removed = removed + redis.call("HDEL", K[kind](), name) end
end
redis.call("INCR", K.version())
return cjson.encode({ removed = removed })
