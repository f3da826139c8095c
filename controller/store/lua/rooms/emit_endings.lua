-- Emits the next part of a room's endings.
-- args: room_id
-- needs: endings

local room = get_room(args.room_id)
if room then emit_endings(room) end
return reply({})
