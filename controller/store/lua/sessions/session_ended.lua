-- A call has ended. `cause`: the hangup cause; `node_lost`: its node has restarted since.
-- args: session_id cause node_lost?
-- needs: call_commands collections node_fence members

local ENDED_SECONDS = 600 -- for which a late event cannot start it again

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
if not session then return cjson.encode({ unknown = true }) end
local found, uid = {}, nil
if session.hang_up_job then
  found = confirmation("hang_up", session.hang_up_job)
  uid = forget_call_command(session, "hang_up")
end
log("event", "hangup", { app = session.app, session = session.id, cause = args.cause })
local reason = args.node_lost and "node_lost" or "hangup"
take_out(session, reason, args.cause)
if session.collected then end_collection(session, "hangup") end
if session.dtmf_job then call_command_failed(session, "dtmf", reason) end
session.state = step("SESSION", session.state, "ended")
local now = math.floor(NOW / 1000)
emit_session(session, "session.ended",
  { cause = args.cause, duration = now - (tonumber(session.started_at) or now), command_uid = uid })
redis.call("ZREM", keys.sessions(session.app), session.id)
redis.call("SREM", keys.node_sessions(session.node), session.id)
redis.call("DEL", keys.session(session.id))
redis.call("SET", keys.ended(session.id), 1, "EX", ENDED_SECONDS)
found.ended = true
return reply(found)
