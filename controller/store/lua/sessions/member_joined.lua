-- The node says that a session is in a room, by a command or its operator's hand. `flags`: those that are on.
-- args: session_id room_id member_id flags
-- needs: endings joined node_fence

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
if not session then return cjson.encode({ unknown = true }) end
return reply(session_joined(session, { room_id = args.room_id, member_id = args.member_id, flags = args.flags }))
