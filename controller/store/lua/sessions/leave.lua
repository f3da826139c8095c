-- Takes a session out of its room. The node confirms it with del-member. `kicked`: the app does not have it leave but
-- takes it out; `reason`: why, in the app's words.
-- args: command_uid? kicked? reason?
-- needs: session_commands members

local session, instead = own_member()
if instead then return instead end

step_session(session, "leave", { uid = args.command_uid, actor = origin.actor, trace = origin.trace,
  kicked = args.kicked and 1, kick_reason = args.reason })
change(keys.session(session.id), session, { job = send_about(session, "kick", "leave") })
return accept_new(session, "leaving")
