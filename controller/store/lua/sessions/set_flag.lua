-- Has the node turn a flag of a member on or off, unless it is so already or the same command is pending. The opposite
-- may be pending, but for a flag that `waits`: each command ends by itself, in the order of the node's events, which is
-- that of its commands. `url`: of the music for a member on hold.
-- args: flag on url? relay_up command_uid?
-- needs: session_commands quotas command_to_all

local flag = FLAGS[args.flag]
local change_to, opposite = args.on and flag.on or flag.off, args.on and flag.off or flag.on
local session, instead = own_member()
if instead then return instead end
if session[change_to.pending_job] then return refuse(change_to.refused_pending) end
if has_to_wait(session, flag, opposite) then return refuse(opposite.refused_pending) end
if not would_change(session, flag, args.on) then return refuse(change_to.refused_already) end
if args.url and not args.relay_up then return refuse("no_relay") end
local refused = exceeded("webhook_bytes", 0)
if refused then return refused end

send_change(session, change_to, { uid = args.command_uid, url = args.url })
return accept_new(session, change_to.done)
