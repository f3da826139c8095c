-- A call has parked: a new session, or one back from a room, which del-member reported already. A late event does not
-- start an ended session again: when a link comes up, the comparison is applied before the events that came meanwhile.
-- args: node app_id session_id channel did caller_id
-- needs: node_fence outbox quotas session_begins

if fenced() then return refusal("fenced") end
local is_known = redis.call("EXISTS", keys.session(args.session_id), keys.ended(args.session_id)) > 0
if is_known then return cjson.encode({ known = true }) end
if exceeded("sessions", 1) or exceeded("webhook_bytes", 0) then
  log("refused", "call", { app = args.app_id, did = args.did, reason = "quota_exceeded" })
  return refusal("quota_exceeded")
end
local session = { id = args.session_id, app = args.app_id, node = args.node, did = args.did, caller_id = args.caller_id,
  state = SESSION.parked, direction = "inbound" }
begin_session(session, args.channel)
log("event", "parked", { app = session.app, session = session.id })
emit_session(session, "session.started", { state = session.state, direction = session.direction })
return cjson.encode({ started = true })
