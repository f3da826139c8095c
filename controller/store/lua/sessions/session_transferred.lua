-- The number to which a call was transferred has answered: `leg` is the call to it.
-- args: session_id leg
-- needs: call_commands members node_fence

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
-- Its transfer has been given up: there shall be no call that nobody knows.
if not session or session.transfer_leg ~= args.leg then return cjson.encode({ stray = true }) end
if session.state ~= SESSION.transferring then return cjson.encode({ known = true }) end
act_for({ actor = session.transfer_actor, trace = session.transfer_trace })
log("event", "bridged", { app = session.app, session = session.id })
local found = confirmation("transfer", session.transfer_job)
if session.room then take_out(session, why_left(session)) end
local uid, before = forget_call_command(session, "transfer")
step_session(session, "transferred")
emit_session(session, "session.transferred",
  { to = session.transfer_to, shown_as = session.transfer_from, command_uid = uid })
act_for(before)
return cjson.encode(found)
