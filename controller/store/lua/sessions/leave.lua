-- Takes a session out of its room. The node confirms it with del-member. `kicked`: the app does not have it leave but
-- takes it out; `reason`: why, in the app's words.
-- args: command_uid? kicked? reason?
-- needs: session_commands session_steps

local session, instead = own_member()
if instead then return instead end

let_go(session, { uid = args.command_uid, kicked = args.kicked and 1, kick_reason = args.reason })
return accept_new(session, "leaving")
