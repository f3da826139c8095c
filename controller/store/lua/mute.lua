-- include: access playback members
-- A.want: "mute" or "unmute"
local s, no = own_session(A.session_id)
if no then return no end
local first = first_answer()
if first then return first end
if not s.room then return refuse("not_in_room") end
local limit = limited("conference_mute", s.id)
if limit then return limit end
if s.state == "joining" then return refuse("still_joining") end
if s.state == "leaving" then return refuse("leaving") end
local expected = s.want or (s.muted == "1" and "mute" or "unmute")
if expected == A.want then return refuse("already_" .. A.want .. "d") end

local job = send(s.node, A.want, { app = s.app, room = s.room, session = s.id, member_id = tonumber(s.member_id) })
clear(K.session(s.id), s, "want_uid")
change(K.session(s.id), s, { want = A.want, want_job = job, want_uid = A.command_uid })
due(s.node, "mute", s.id)
return accept("conference_mute", A.want, s, { status = A.want .. "d", room_id = s.room })
