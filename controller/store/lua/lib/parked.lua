-- How a call that has come in becomes a session.
-- args: node app_id
-- needs: outbox quotas session_begins

-- Whether the store knows it already, or knows that it has ended.
local function has_begun(id) return redis.call("EXISTS", keys.session(id), keys.ended(id)) > 0 end

-- It is parked, and the store does not know it. Returns the session, or nil if the app's quotas have no room for it.
local function begin_parked(id, channel, did, caller_id)
  if exceeded("sessions", 1) or exceeded("webhook_bytes", 0) then
    log("refused", "call", { app = args.app_id, did = did, reason = "quota_exceeded" })
    return nil
  end
  local session = { id = id, app = args.app_id, node = args.node, did = did, caller_id = caller_id,
    state = SESSION.parked, direction = "inbound" }
  begin_session(session, channel)
  log("event", "parked", { app = session.app, session = session.id })
  emit_session(session, "session.started", { state = session.state, direction = session.direction })
  return session
end
