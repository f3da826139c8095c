-- Counts what a partition has on the `nodes` (prefixes). Replies { rooms, sessions, recordings } by node, and in all
-- { all_rooms, members, pending }: a room that spans nodes counts once, and pending are the webhooks that wait.
-- args: nodes

local rooms, sessions, recordings, seen, all_rooms, members = {}, {}, {}, {}, 0, 0
for _, node in ipairs(args.nodes) do
  rooms[node] = redis.call("SCARD", keys.node_rooms(node))
  sessions[node] = redis.call("SCARD", keys.node_sessions(node))
  recordings[node] = redis.call("SCARD", keys.node_recordings(node))
  for _, id in ipairs(redis.call("SMEMBERS", keys.node_rooms(node))) do
    if not seen[id] then
      seen[id] = true
      all_rooms, members = all_rooms + 1, members + redis.call("ZCARD", keys.members(id))
    end
  end
end
return cjson.encode({ rooms = rooms, sessions = sessions, recordings = recordings, all_rooms = all_rooms,
  members = members, pending = redis.call("XLEN", keys.outbox()) })
