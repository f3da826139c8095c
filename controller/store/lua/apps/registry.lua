-- Changes the apps, nodes and gateways (KEYS[1] is the registry's tag). `put`: JSON by name; `gone`: names; both by
-- table (apps, nodes, gateways). Replies { removed }: how many entries, or { changed } if the registry is not at that
-- `version` any more: then nothing is changed.
-- args: put gone version?

if args.version and (redis.call("GET", keys.version()) or "") ~= args.version then
  return cjson.encode({ changed = true })
end

local tables = { apps = keys.apps(), nodes = keys.nodes(), gateways = keys.gateways() }
local removed = 0
for kind, entries in pairs(args.put) do
  for name, entry in pairs(entries) do redis.call("HSET", tables[kind], name, entry) end
end
for kind, names in pairs(args.gone) do
  for _, name in ipairs(names) do removed = removed + redis.call("HDEL", tables[kind], name) end
end
for name in pairs(args.put.nodes or {}) do redis.call("SREM", keys.gone_nodes(), name) end
for _, name in ipairs(args.gone.nodes or {}) do redis.call("SADD", keys.gone_nodes(), name) end
redis.call("INCR", keys.version())
return cjson.encode({ removed = removed })
