-- include: access playback members
local s, no = own_session(A.session_id)
if no then return no end
local r, no_room = own_room(A.room_id)
if no_room then return no_room end
local first = first_answer()
if first then return first end
local limit = limited("conference", s.id)
if limit then return limit end

if s.room then
  if s.room ~= r.id then return refuse("in_other_room", { room_id = s.room }) end
  if s.state == "leaving" then return refuse("leaving") end
  local status = s.state == "joined" and "already_joined" or "joining"
  return accept(nil, "join", s, { status = status, room_id = r.id })
end
if s.node ~= r.node then return refuse("other_node") end

local job = send(s.node, "join", { app = s.app, room = r.id, session = s.id })
redis.call("SADD", K.present(r.id), s.id)
set_state(s, "joining", { room = r.id, job = job, muted = 1, uid = A.command_uid })
due(s.node, "join", s.id)
return accept("conference", "join", s, { status = "joining", room_id = r.id })
