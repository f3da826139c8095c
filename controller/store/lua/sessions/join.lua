-- Puts a session into a room. The node confirms it with add-member.
-- args: session_id room_id command_uid?
-- needs: session_commands quotas members

local session, no = own_session(args.session_id)
if no then return no end
local room, no_room = own_room(args.room_id)
if no_room then return no_room end
local first = first_answer()
if first then return first end
-- A repeat is no new command, and no cooldown keeps it away.
local REPEATED = { [SESSION.joining] = "joining", [SESSION.joined] = "already_joined" }
local repeated = session.room == room.id and REPEATED[session.state]
if repeated then return accept(session, repeated) end
local limit = limited(session.id)
if limit then return limit end
if session.room and session.room ~= room.id then return refuse("in_other_room", { room_id = session.room }) end
if session.room then return refuse("leaving") end
if session.node ~= room.node then return refuse("other_node") end
local full = exceeded("webhook_bytes", 0)
if full then return full end

local fields = { room = room.id, uid = args.command_uid }
for name, flag in pairs(FLAGS) do fields[name] = flag.joins and 1 or 0 end
step_session(session, "join", fields)
redis.call("SADD", keys.present(room.id), session.id)
change(keys.session(session.id), session, { job = send_about(session, "join", "join") })
return accept_new(session, "joining")
