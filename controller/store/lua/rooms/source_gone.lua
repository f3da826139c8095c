-- A room's source is gone for good, and its sessions have ended: another node becomes it. `other`: the one for a room
-- that has no leg on a node that is up; without it, such a room stays as it is. Replies { moved }.
-- args: node room_id other? up
-- needs: move node_fence

if fenced() then return refusal("fenced") end
local room = get_room(args.room_id)
if not room or room.node ~= args.node then return reply({ moved = false }) end
if room.closing then
  emit_endings(room)
else
  leave_source(room, args.other)
end
return reply({ moved = room.node ~= args.node })
