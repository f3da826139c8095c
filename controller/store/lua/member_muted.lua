-- include: playback endings members
-- A.muted: what the node says. It repeats itself for a member that was so already.
if fenced() then return refuse("fenced") end
local s = get_session(A.session_id)
local r = s and s.room == A.room_id and s.member_id == tostring(A.member_id) and get_room(s.room)
if not r then return cjson.encode({ unknown = true }) end
local muted = A.muted and "1" or "0"
log("event", A.muted and "mute-member" or "unmute-member", { app = s.app, room = r.id, session = s.id })
if s.muted == muted and s.want ~= (A.muted and "mute" or "unmute") then return cjson.encode({ known = true }) end
change(K.session(s.id), s, { muted = muted })
muted_event(r, s)
return cjson.encode({ changed = true })
