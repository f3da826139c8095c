-- Changes who there is (KEYS[1] is the registry's tag): args.put, JSON by name, and args.gone, names, both by table (apps, nodes).
-- Answers how many entries were removed.
local removed = 0
for kind, entries in pairs(args.put) do
  for name, entry in pairs(entries) do redis.call("HSET", keys[kind](), name, entry) end
end
for kind, names in pairs(args.gone) do
  for _, name in ipairs(names) do removed = removed + redis.call("HDEL", keys[kind](), name) end
end
redis.call("INCR", keys.version())
return cjson.encode({ removed = removed })
