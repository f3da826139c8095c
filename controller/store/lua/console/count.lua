-- Counts what a partition has on the `nodes` (prefixes). Replies { rooms, sessions } by node, and in all { members,
-- pending }, the webhooks that wait.
-- args: nodes

local rooms, sessions, members = {}, {}, 0
for _, node in ipairs(args.nodes) do
  rooms[node] = redis.call("SCARD", keys.node_rooms(node))
  sessions[node] = redis.call("SCARD", keys.node_sessions(node))
  for _, id in ipairs(redis.call("SMEMBERS", keys.node_rooms(node))) do
    members = members + redis.call("ZCARD", keys.members(id))
  end
end
return cjson.encode({ rooms = rooms, sessions = sessions, members = members,
  pending = redis.call("XLEN", keys.outbox()) })
