-- A call that was transferred goes on, and that to the number, `leg`, does not. `cause`: the hangup cause of that. It
-- is said again when the call leaves a room later.
-- args: session_id leg cause
-- needs: node_fence transfers

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
if not session then return cjson.encode({ unknown = true }) end
if session.transfer_leg ~= args.leg then return cjson.encode({ known = true }) end
act_for({ actor = session.transfer_actor, trace = session.transfer_trace })
log("event", "parked", { app = session.app, session = session.id })
local found = confirmation("transfer", session.transfer_job)
transfer_failed(session, args.cause)
return cjson.encode(found)
