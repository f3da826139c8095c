-- include: playback members
-- A call has parked: a new session, or one back from a room.
if fenced() then return refuse("fenced") end
local s = get_session(A.session_id)
if s then
  -- del-member comes before park; where it was missed, park tells as much. A session that joins anew is not touched.
  if s.room and s.state ~= "joining" then take_out(s, "the member left") end
  return cjson.encode({ known = true })
end
s = { id = A.session_id, app = A.app_id, node = A.node, did = A.did, caller_id = A.caller_id, state = "parked" }
redis.call("HSET", K.session(s.id), "app", s.app, "node", s.node, "did", s.did, "caller_id", s.caller_id,
  "state", s.state, "started_at", math.floor(NOW / 1000), "seq", 0)
redis.call("ZADD", K.sessions(s.app), redis.call("INCR", K.order()), s.id)
redis.call("SADD", K.node_sessions(s.node), s.id)
log("event", "parked", { app = s.app, session = s.id })
tell_session(s, "session.started", { state = s.state })
return cjson.encode({ started = true })
