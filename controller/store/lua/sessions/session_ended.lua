-- A call has ended. `cause`: the hangup cause; `node_lost`: its node has restarted since.
-- args: session_id cause node_lost?
-- needs: node_fence session_ends

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
if not session then return cjson.encode({ unknown = true }) end
if session.hang_up_job then
  act_for({ actor = session.hang_up_actor, trace = session.hang_up_trace })
end
log("event", "hangup", { app = session.app, session = session.id, cause = args.cause })
local found = end_session(session, args.cause, args.node_lost)
found.ended = true
return reply(found)
