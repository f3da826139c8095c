-- A call that an app has made rings.
-- args: session_id
-- needs: node_fence outbox sessions

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
if not session then return cjson.encode({ unknown = true }) end
if session.state ~= SESSION.dialing or session.is_ringing then return cjson.encode({ known = true }) end
act_for({ actor = session.dial_actor, trace = session.dial_trace })
log("event", "ringing", { app = session.app, session = session.id })
change(keys.session(session.id), session, { is_ringing = 1 })
emit_session(session, "session.ringing", { command_uid = session.dial_uid })
return cjson.encode({ ringing = true })
