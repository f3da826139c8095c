-- A call has parked: a new session, or one back from a room, which del-member told already. A call that has ended is over
-- for good: when a link comes up, what the comparison found is told ahead of the events that came meanwhile.
if fenced() then return refuse("fenced") end
if redis.call("EXISTS", K.session(A.session_id), K.ended(A.session_id)) > 0 then return cjson.encode({ known = true }) end
local quotas = A.quotas
if used(A.app_id, "sessions") >= quotas.sessions or used(A.app_id, "webhook_bytes") > quotas.webhook_bytes then
  log("refused", "call", { app = A.app_id, did = A.did, reason = "quota_exceeded" })
  return refuse("quota_exceeded")
end
local s = { id = A.session_id, app = A.app_id, node = A.node, did = A.did, caller_id = A.caller_id, state = "parked" }
redis.call("HSET", K.session(s.id), "app", s.app, "node", s.node, "channel", A.channel, "did", s.did,
  "caller_id", s.caller_id, "state", s.state, "started_at", math.floor(NOW / 1000), "seq", 0)
redis.call("ZADD", K.sessions(s.app), redis.call("INCR", K.order()), s.id)
redis.call("SADD", K.node_sessions(s.node), s.id)
log("event", "parked", { app = s.app, session = s.id })
tell_session(s, "session.started", { state = s.state })
return cjson.encode({ started = true })
