-- The node says that a member is out of its room. `cause`: the hangup cause if the call has ended, else empty.
-- args: session_id room_id member_id cause?
-- needs: node_fence members

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
if not session then return cjson.encode({ unknown = true }) end
local is_member = session.room == args.room_id and session.member_id == tostring(args.member_id)
if is_member then act_for(session) end
log("event", "del-member", { app = session.app, room = args.room_id, session = session.id, member_id = args.member_id })
-- The end of another membership than the one that the store has changes nothing.
if not is_member then return cjson.encode({ known = true }) end
local found = session.state == SESSION.leaving and confirmation(leaving_by(session), session.job) or {}
take_out(session, why_left(session, args.cause), args.cause)
return reply(found)
