-- Has the node set a level of a member to `value`. One command for each level is pending at a time, so that its event
-- is known by its value.
-- args: level value command_uid?
-- needs: session_commands quotas node_commands

local session, instead = own_member()
if instead then return instead end
local change_to = LEVELS[args.level]
if session[change_to.pending_job] then return refuse("volume_pending") end
local refused = exceeded("webhook_bytes", 0)
if refused then return refused end

send_change(session, change_to, { uid = args.command_uid, value = args.value })
return accept_new(session, "volume_changed")
