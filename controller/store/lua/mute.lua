-- include: access playback endings members
-- A.command: "mute" or "unmute"
local s, instead = own_member("conference_mute")
if instead then return instead end
if s.want == A.command then return refuse(A.command .. "_pending") end
if not s.want and s.muted == (A.command == "mute" and "1" or "0") then return refuse("already_" .. A.command .. "d") end
local full = exceeded("webhook_bytes", 0)
if full then return full end

local job = send(s.node, A.command, { app = s.app, room = s.room, session = s.id, member_id = tonumber(s.member_id) })
clear(K.session(s.id), s, "want_uid")
change(K.session(s.id), s, { want = A.command, want_job = job, want_uid = A.command_uid })
due(s.node, "mute", s.id)
return accept("conference_mute", s, { status = A.command .. "d", room_id = s.room })
