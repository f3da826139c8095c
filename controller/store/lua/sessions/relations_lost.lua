-- By the node, a coach is heard by others than the one that it coaches, or not by that one.
-- args: session_id resynced?
-- needs: coaching node_fence

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
local room = session and session.coaches and session.room and get_room(session.room)
local is_settled = room and not session.coach_change and redis.call("EXISTS", keys.unrelated(session.id)) == 0
if not is_settled then return cjson.encode({ known = true }) end
log("event", "relations_lost", { app = session.app, room = room.id, session = session.id,
  resynced = args.resynced })
hide(room, session)
return cjson.encode({})
