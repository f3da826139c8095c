-- include: access playback endings members
-- A.want: "mute" or "unmute"
local s, instead = own_member("conference_mute", A.want)
if instead then return instead end
if s.want == A.want then return refuse(A.want .. "_pending") end
if not s.want and s.muted == (A.want == "mute" and "1" or "0") then return refuse("already_" .. A.want .. "d") end
local full = exceeded("webhook_bytes", 0)
if full then return full end

local job = send(s.node, A.want, { app = s.app, room = s.room, session = s.id, member_id = tonumber(s.member_id) })
clear(K.session(s.id), s, "want_uid")
change(K.session(s.id), s, { want = A.want, want_job = job, want_uid = A.command_uid })
due(s.node, "mute", s.id)
return accept("conference_mute", A.want, s, { status = A.want .. "d", room_id = s.room })
