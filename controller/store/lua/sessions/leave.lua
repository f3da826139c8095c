-- Takes a session out of its room. The node confirms it with del-member.
-- args: command_uid?
-- needs: session_commands members

local session, instead = own_member()
if instead then return instead end

step_session(session, "leave", { uid = args.command_uid, actor = origin.actor, trace = origin.trace })
change(keys.session(session.id), session, { job = send_about(session, "kick", "leave") })
return accept_new(session, "leaving")
