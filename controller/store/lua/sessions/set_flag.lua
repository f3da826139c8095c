-- include: access playback endings members
-- Has the node turn a flag of a member (args.flag) on or off (args.on), unless it is so, or is about to be.
local flag = FLAGS[args.flag]
local change_to = args.on and flag.on or flag.off
local s, instead = own_member(flag.cooldown)
if instead then return instead end
local pending = s[flag.pending]
if pending == change_to.command then return refuse(change_to.command .. "_pending") end
if not pending and has_flag(s, flag) == args.on then return refuse("already_" .. change_to.done) end
local full = exceeded("webhook_bytes", 0)
if full then return full end

local job = send(s.node, change_to.command, { app = s.app, room = s.room, session = s.id,
  member_id = tonumber(s.member_id) })
clear(keys.session(s.id), s, flag.pending_uid)
change(keys.session(s.id), s, { [flag.pending] = change_to.command, [flag.pending_job] = job,
  [flag.pending_uid] = args.command_uid })
due(s.node, flag.on.command, s.id)
return accept(flag.cooldown, s, { status = change_to.done, room_id = s.room })
