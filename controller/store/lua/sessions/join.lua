-- Puts a session into a room. The node confirms it with add-member.
-- args: session_id room_id command_uid?
-- needs: session_commands quotas members

local session, refused = own_session(args.session_id)
if refused then return refused end
local room, room_refused = own_room(args.room_id)
if room_refused then return room_refused end
local first = first_answer()
if first then return first end
-- A repeat is accepted again: no cooldown applies to it.
local REPEATED = { [SESSION.joining] = "joining", [SESSION.joined] = "already_joined" }
local repeated = session.room == room.id and REPEATED[session.state]
if repeated then return accept(session, repeated) end
refused = limited(session.id)
if refused then return refused end
if session.room and session.room ~= room.id then return refuse("in_other_room", { room_id = session.room }) end
if session.room then return refuse("leaving") end
if session.node ~= room.node then return refuse("other_node") end
refused = exceeded("webhook_bytes", 0)
if refused then return refused end

local fields = { room = room.id, uid = args.command_uid }
for name, flag in pairs(FLAGS) do fields[name] = flag.joins and 1 or 0 end
step_session(session, "join", fields)
redis.call("SADD", keys.present(room.id), session.id)
change(keys.session(session.id), session, { job = send_about(session, "join", "join") })
return accept_new(session, "joining")
