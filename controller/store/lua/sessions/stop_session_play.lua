-- Stops what is played to a session.
-- args: command session_id quotas command_uid?
-- needs: limits session_commands session_plays

local session, instead = own_call()
if instead then return instead end
local refused = limited(session.id, session.node)
if refused then return refused end
if session.state == SESSION.dialing then return refuse("still_dialing") end

local operation = played_to(session)
local answer = accept_new(session, "stopped", { operation_id = operation and operation.id or "" })
if operation then
  forget_played(session, operation)
  silence(session)
end
-- With nothing to stop, a webhook is emitted only if the quota has room for it; a stop itself is never refused.
if operation or used(session.app, "webhook_bytes") <= args.quotas.webhook_bytes then
  emit_session(session, "session.play.stopped",
    { operation_id = operation and operation.id or "", command_uid = args.command_uid })
end
return answer
