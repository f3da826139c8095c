-- A call that an app has made was answered, and is parked. It is also parked when it leaves a room.
-- args: session_id
-- needs: node_fence dials

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
if not session then return cjson.encode({ unknown = true }) end
if session.state ~= SESSION.dialing then return cjson.encode({ known = true }) end
log("event", "answered", { app = session.app, session = session.id })
local found = confirmation("dial", session.dial_job)
dial_answered(session)
return cjson.encode(found)
