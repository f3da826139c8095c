-- include: playback endings members
if fenced() then return refuse("fenced") end
local s = get_session(args.session_id)
if not s then return cjson.encode({ unknown = true }) end
log("event", "hangup", { app = s.app, session = s.id, cause = args.cause })
take_out(s, args.node_lost and "node_lost" or "hangup", args.cause)
tell_session(s, "session.ended", { cause = args.cause, duration = math.floor(NOW / 1000) - tonumber(s.started_at) })
redis.call("ZREM", keys.sessions(s.app), s.id)
redis.call("SREM", keys.node_sessions(s.node), s.id)
redis.call("DEL", keys.session(s.id))
redis.call("SET", keys.ended(s.id), 1, "EX", 600)
return result({ ended = true })
