-- Has the node turn a flag of a member on or off, unless it is so already or such a command is pending.
-- args: flag on command_uid?
-- needs: session_commands quotas sessions

local flag = FLAGS[args.flag]
local change_to = args.on and flag.on or flag.off
local session, instead = own_member()
if instead then return instead end
local pending = session[flag.pending]
if pending == change_to.command then return refuse(change_to.refused_pending) end
if not pending and has_flag(session, flag) == args.on then return refuse(change_to.refused_already) end
local refused = exceeded("webhook_bytes", 0)
if refused then return refused end

local job = send_about(session, change_to.command, flag.on.command)
clear(keys.session(session.id), session, flag.pending_uid)
change(keys.session(session.id), session, { [flag.pending] = change_to.command, [flag.pending_job] = job,
  [flag.pending_uid] = args.command_uid })
return accept_new(session, change_to.done)
