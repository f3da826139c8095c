-- Has the node end a call. The node confirms it by the call's end, whoever ended it. `cause`: FreeSWITCH's name of it.
-- args: session_id command_uid? cause
-- needs: call_commands session_commands session_ends

local session, instead = own_call()
if instead then return instead end
-- A repeat is accepted again: no cooldown applies to it.
if session.hang_up_job then return accept(session, "hanging_up") end
local refused = limited(session.id, session.node)
if refused then return refused end
if session.transfer_job and take_command_back(session.node, session.transfer_job) then
  transfer_failed(session, "", "cancelled")
end

if session.state == SESSION.dialing then
  change(keys.session(session.id), session, { hang_up_cause = args.cause, hang_up_tries = 1 })
end
if session.state == SESSION.dialing and take_command_back(session.node, session.dial_job) then
  -- Cancelled, as if the node had done it.
  note_call_command(session, "hang_up", args.command_uid, session.dial_job)
  end_session(session, "")
else
  expect(session.node, "hang_up", session.id, CONFIRM_MS + 1)
  send_call_command(session, "hang_up", args.command_uid, { cause = args.cause })
end
return accept_new(session, "hanging_up")
