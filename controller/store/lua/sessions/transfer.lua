-- Has its node connect a call, in a room or not, to a number, which is called as the channel `channel` and counted as
-- `new_session`. The node confirms it once the number has answered, or by parking the call.
-- args: session_id command_uid? to caller_id? timeout permission channel new_session
-- needs: dial_commands dial_permission quotas session_commands session_plays session_steps

local refused = not_allowed()
if refused then return refused end
local session, instead = own_call()
if instead then return instead end
refused = cooling_down(dialled_number()) or beyond_limits() or node_down(session.node)
  or refuse_busy(session)
if refused then return refused end
refused = exceeded("webhook_bytes", 0)
if refused then return refused end

interrupt_play(session)
count_dial(session.app, args.new_session)
step_session(session, "transfer", { transfer_leg = args.channel, transfer_dial = args.new_session,
  transfer_to = args.to, transfer_from = args.caller_id })
if session.room then
  change(keys.session(session.id), session, { actor = origin.actor, trace = origin.trace })
end
send_transfer(session, args.command_uid, args.permission, args.timeout)
start_cooldown(dialled_number())
return accept(session, "transferring", nil, { to = args.to, caller_id = args.caller_id })
