-- include: playback endings members
if fenced() then return refuse("fenced") end
local s = get_session(A.session_id)
if not s then return cjson.encode({ unknown = true }) end
log("event", "hangup", { app = s.app, session = s.id, cause = A.cause })
take_out(s, A.node_lost and "node_lost" or "hangup", A.cause)
tell_session(s, "session.ended", { cause = A.cause, duration = math.floor(NOW / 1000) - tonumber(s.started_at) })
redis.call("ZREM", K.sessions(s.app), s.id)
redis.call("SREM", K.node_sessions(s.node), s.id)
redis.call("DEL", K.session(s.id))
redis.call("SET", K.ended(s.id), 1, "EX", 600)
return result({ ended = true })
