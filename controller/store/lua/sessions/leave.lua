-- include: access playback endings members
local s, instead = own_member("conference")
if instead then return instead end

local job = send(s.node, "kick", { app = s.app, room = s.room, session = s.id, member_id = tonumber(s.member_id) })
set_state(s, "leaving", { job = job, uid = args.command_uid })
due(s.node, "leave", s.id)
return accept("conference", s, { status = "leaving", room_id = s.room })
