-- include: access playback endings members
local s, no = own_session(args.session_id)
if no then return no end
local r, no_room = own_room(args.room_id)
if no_room then return no_room end
local first = first_answer()
if first then return first end
-- A repeat is no new command, and no cooldown keeps it away.
local repeated = s.room == r.id and ({ joining = "joining", joined = "already_joined" })[s.state]
if repeated then return accept(nil, s, { status = repeated, room_id = r.id }) end
local limit = limited("conference", s.id)
if limit then return limit end
if s.room and s.room ~= r.id then return refuse("in_other_room", { room_id = s.room }) end
if s.room then return refuse("leaving") end
if s.node ~= r.node then return refuse("other_node") end
local full = exceeded("webhook_bytes", 0)
if full then return full end

local job = send(s.node, "join", { app = s.app, room = r.id, session = s.id })
redis.call("SADD", keys.present(r.id), s.id)
local fields = { room = r.id, job = job, uid = args.command_uid }
for name, flag in pairs(FLAGS) do fields[name] = flag.joins and 1 or 0 end
set_state(s, "joining", fields)
due(s.node, "join", s.id)
return accept("conference", s, { status = "joining", room_id = r.id })
