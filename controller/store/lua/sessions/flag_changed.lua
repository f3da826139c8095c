-- The node has turned a flag of a member on or off, or says so again of one that was so already.
-- args: session_id room_id member_id flag on
-- needs: node_fence members

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
local is_member = session and session.room == args.room_id and session.member_id == tostring(args.member_id)
local room = is_member and get_room(session.room)
if not room then return cjson.encode({ unknown = true }) end
local flag = FLAGS[args.flag]
local changed_to = args.on and flag.on or flag.off
local confirms = session[changed_to.pending_job] ~= nil
if confirms then act_for(pending_origin(session, changed_to)) end
log("event", changed_to.action, { app = session.app, room = room.id, session = session.id })
if has_flag(session, flag) == args.on and not confirms then return cjson.encode({ known = true }) end

change(keys.session(session.id), session, { [flag.name] = args.on and 1 or 0 })
local data, found = member_data(session), {}
local operation = session[changed_to.pending_operation]
if confirms then
  found = confirmation(changed_to.command, session[changed_to.pending_job])
  data.command_uid = session[changed_to.pending_uid]
  forget_pending(session, changed_to)
end
emit_member(room, changed_to.webhook, data, session)
member_done(room, session, operation)
return cjson.encode(found)
