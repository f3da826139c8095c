-- Has the node turn a flag of a member on or off, unless it is so already or the same command is pending. `url`: of the
-- music for a member on hold.
-- args: flag on url? relay_up? command_uid?
-- needs: flag_changes quotas session_commands

local session, instead = own_member()
if instead then return instead end
local flag = FLAGS[args.flag]
if args.url and not args.relay_up then return refuse("no_relay") end
local code = why_not(session, flag, args.on)
if code then return refuse(code) end
local refused = exceeded("webhook_bytes", 0)
if refused then return refused end

local answer = accept_new(session, change_of(flag, args.on).done)
change_flag(session, flag, args.on, { uid = args.command_uid, url = args.url })
return answer
