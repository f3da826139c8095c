-- What the scripts of a node's worker begin with: whether the worker still holds the node.
-- args: node token

-- True when a later worker holds the node: then this one must change nothing.
local function fenced()
  local highest = tonumber(redis.call("GET", keys.fence(args.node)) or 0) or 0
  if args.token < highest then return true end
  if args.token > highest then redis.call("SET", keys.fence(args.node), args.token) end
  return false
end
