-- Has the node turn a flag of a member on or off, unless it is so already or the same command is pending. The opposite
-- may be pending: each command ends by itself, in the order of the node's events, which is that of its commands.
-- args: flag on command_uid?
-- needs: node_commands session_commands quotas sessions

local flag = FLAGS[args.flag]
local change_to, opposite = flag.on, flag.off
if not args.on then change_to, opposite = opposite, change_to end
local session, instead = own_member()
if instead then return instead end
if session[change_to.pending_job] then return refuse(change_to.refused_pending) end
if not session[opposite.pending_job] and has_flag(session, flag) == args.on then
  return refuse(change_to.refused_already)
end
local refused = exceeded("webhook_bytes", 0)
if refused then return refused end

local job = send_about(session, change_to.command, change_to.command)
change(keys.session(session.id), session, { [change_to.pending_job] = job, [change_to.pending_uid] = args.command_uid,
  [change_to.pending_actor] = origin.actor, [change_to.pending_trace] = origin.trace })
return accept_new(session, change_to.done)
