-- Has a member that coaches another one heard by all again.
-- args: session_id command_uid?
-- needs: coach_changes quotas session_commands

local session, instead = own_member()
if instead then return instead end
if session.coach_change or redis.call("EXISTS", keys.unrelated(session.id)) == 1 then return refuse("coach_pending") end
if not session.coaches then return refuse("not_coaching") end
local refused = exceeded("webhook_bytes", 0)
if refused then return refused end

local room = get_room(session.room)
change(keys.session(session.id), session, { coach_change = "uncoach", coach_uid = args.command_uid,
  coach_actor = origin.actor, coach_trace = origin.trace })
stop_coaching(room, session)
return accept_new(session, "uncoached")
