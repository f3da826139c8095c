-- include: playback endings members
if fenced() then return refuse("fenced") end
local s = get_session(args.session_id)
if not s then return cjson.encode({ unknown = true }) end
log("event", "del-member", { app = s.app, room = args.room_id, session = s.id, member_id = args.member_id })
-- The end of another membership than the one that the store has changes nothing.
if s.room ~= args.room_id or s.member_id ~= tostring(args.member_id) then return cjson.encode({ known = true }) end
take_out(s, why_left(s, args.cause), args.cause)
return result({ left = true })
