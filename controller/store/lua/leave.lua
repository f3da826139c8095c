-- include: access playback members
local s, no = own_session(A.session_id)
if no then return no end
local first = first_answer()
if first then return first end
if not s.room then return refuse("not_in_room") end
local limit = limited("conference", s.id)
if limit then return limit end
if s.state == "joining" then return refuse("still_joining") end
if s.state == "leaving" then return refuse("leaving") end

local job = send(s.node, "kick", { app = s.app, room = s.room, session = s.id, member_id = tonumber(s.member_id) })
set_state(s, "leaving", { job = job })
if A.command_uid then change(K.session(s.id), s, { uid = A.command_uid }) end
due(s.node, "leave", s.id)
return accept("conference", "leave", s, { status = "leaving", room_id = s.room })
