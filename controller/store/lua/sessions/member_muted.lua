-- include: playback endings members
-- args.muted: what the node says. It repeats itself for a member that was so already.
if fenced() then return refuse("fenced") end
local s = get_session(args.session_id)
local r = s and s.room == args.room_id and s.member_id == tostring(args.member_id) and get_room(s.room)
if not r then return cjson.encode({ unknown = true }) end
local muted = args.muted and "1" or "0"
log("event", args.muted and "mute-member" or "unmute-member", { app = s.app, room = r.id, session = s.id })
if s.muted == muted and s.want ~= (args.muted and "mute" or "unmute") then return cjson.encode({ known = true }) end
change(keys.session(s.id), s, { muted = muted })
muted_event(r, s)
return cjson.encode({ changed = true })
