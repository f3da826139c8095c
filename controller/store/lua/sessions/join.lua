-- Puts a session into a room. The node confirms it with add-member. If the room is on another node, the session waits
-- until there is a leg between them. `flags`: those that it joins with, by their names. `levels`: those that are set
-- once it has joined, pairs of a name and a value, as JSON. `tags`: as JSON.
-- args: nodes session_id room_id flags levels? role tags end_on_exit? command_uid?
-- needs: session_commands open_rooms quotas

-- Refuses a new leg between two nodes, unless both take new rooms. A source that is down may be gone for good: then the
-- room moves to the session's node (lib/move.lua), and it does not matter what the source takes.
local function no_leg_from(node, source)
  local unknown = node_unknown(source)
  if unknown then return unknown end
  local is_taken = args.nodes[source].open or not args.nodes[source].up
  if not (args.nodes[node].open and is_taken) then return refuse("other_node") end
end

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
refused = limited(session.id, session.node)
if refused then return refused end
if session.room and session.room ~= room.id then return refuse("in_other_room", { room_id = session.room }) end
refused = refuse_busy(session) or refuse_closed(room)
if refused then return refused end
local needs_leg = session.node ~= room.node and not get_leg(room, session.node)
refused = needs_leg and no_leg_from(session.node, room.node) or exceeded("webhook_bytes", 0)
if refused then return refused end

begin_join(session, room, { room = room.id, levels = args.levels, role = args.role, tags = args.tags,
  end_on_exit = args.end_on_exit and 1 or nil, uid = args.command_uid, actor = origin.actor, trace = origin.trace },
  args.flags, needs_leg and args.nodes[room.node].up)
return accept_new(session, "joining")
