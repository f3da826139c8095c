-- Has the node send digits to the far end of a call. Its result says that it sends them, one after the other, for
-- `sending_ms`: until then no more are taken, since the node would keep some of them in no order, and only so many.
-- `duration`: of a digit, ms.
-- args: session_id command_uid? digits duration sending_ms
-- needs: call_commands quotas session_commands

local session, instead = own_call()
if instead then return instead end
local refused = limited(session.id, session.node)
if refused then return refused end
if session.state == SESSION.dialing then return refuse("still_dialing") end
if session.dtmf_job then return refuse("dtmf_pending") end
refused = exceeded("webhook_bytes", 0)
if refused then return refused end

send_call_command(session, "dtmf", args.command_uid, { digits = args.digits, duration = args.duration })
return accept_new(session, "sending", nil, args.sending_ms)
