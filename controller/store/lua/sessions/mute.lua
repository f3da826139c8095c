-- include: access playback endings members
-- args.command: "mute" or "unmute"
local s, instead = own_member("conference_mute")
if instead then return instead end
if s.want == args.command then return refuse(args.command .. "_pending") end
if not s.want and s.muted == (args.command == "mute" and "1" or "0") then return refuse("already_" .. args.command .. "d") end
local full = exceeded("webhook_bytes", 0)
if full then return full end

local job = send(s.node, args.command, { app = s.app, room = s.room, session = s.id, member_id = tonumber(s.member_id) })
clear(keys.session(s.id), s, "want_uid")
change(keys.session(s.id), s, { want = args.command, want_job = job, want_uid = args.command_uid })
due(s.node, "mute", s.id)
return accept("conference_mute", s, { status = args.command .. "d", room_id = s.room })
