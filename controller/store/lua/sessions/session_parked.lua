-- A call has parked: a new session, or one back from a room, which del-member told already. A call that has ended is over
-- for good: when a link comes up, what the comparison found is told ahead of the events that came meanwhile.
if fenced() then return refuse("fenced") end
if redis.call("EXISTS", keys.session(args.session_id), keys.ended(args.session_id)) > 0 then return cjson.encode({ known = true }) end
local quotas = args.quotas
if used(args.app_id, "sessions") >= quotas.sessions or used(args.app_id, "webhook_bytes") > quotas.webhook_bytes then
  log("refused", "call", { app = args.app_id, did = args.did, reason = "quota_exceeded" })
  return refuse("quota_exceeded")
end
local s = { id = args.session_id, app = args.app_id, node = args.node, did = args.did, caller_id = args.caller_id, state = "parked" }
redis.call("HSET", keys.session(s.id), "app", s.app, "node", s.node, "channel", args.channel, "did", s.did,
  "caller_id", s.caller_id, "state", s.state, "started_at", math.floor(NOW / 1000), "seq", 0)
redis.call("ZADD", keys.sessions(s.app), redis.call("INCR", keys.order()), s.id)
redis.call("SADD", keys.node_sessions(s.node), s.id)
log("event", "parked", { app = s.app, session = s.id })
tell_session(s, "session.started", { state = s.state })
return cjson.encode({ started = true })
