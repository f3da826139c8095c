-- Has a member heard by one other member of its room alone, `coached`, or by another one than before.
-- args: app_id session_id coached command_uid?
-- needs: coaching quotas session_commands

-- In a room: whoever joins it is related to each of them.
local MAX_COACHES = 10

local session, instead = own_member()
if instead then return instead end
local coached = get_session(args.coached)
local is_member = coached and coached.app == args.app_id and coached.room == session.room
  and coached.state == SESSION.joined and coached.id ~= session.id
if not is_member then return refuse("coached_not_member") end
if coached.node ~= session.node then return refuse("coached_on_other_node") end
if session.coach_change or redis.call("EXISTS", keys.unrelated(session.id)) == 1 then return refuse("coach_pending") end
if session.coaches == coached.id then return refuse("already_coaching") end
if not session.coaches and redis.call("SCARD", keys.coaches(session.room)) >= MAX_COACHES then
  return refuse("too_many_coaches")
end
local refused = exceeded("webhook_bytes", 0)
if refused then return refused end

local room, before = get_room(session.room), session.coaches
redis.call("SADD", keys.coaches(room.id), session.id)
change(keys.session(session.id), session, { coaches = coached.id, coach_change = "coach", coach_uid = args.command_uid,
  coach_actor = origin.actor, coach_trace = origin.trace })
if before then relate(room, session, { before, coached.id }) else hide(room, session) end
return accept_new(session, "coaching")
