-- How a session begins.

-- Stores a call, which is in no room. `channel`: its uuid on the node.
local function begin_session(session, channel)
  session.channel = channel
  redis.call("HSET", keys.session(session.id), "app", session.app, "node", session.node, "channel", channel,
    "did", session.did, "caller_id", session.caller_id, "state", session.state, "direction", session.direction,
    "started_at", math.floor(NOW / 1000), "seq", 0)
  redis.call("ZADD", keys.sessions(session.app), redis.call("INCR", keys.order()), session.id)
  redis.call("SADD", keys.node_sessions(session.node), session.id)
end
