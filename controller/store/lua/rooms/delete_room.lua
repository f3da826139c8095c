-- Deletes a room.
-- args: app_id command room_id
-- needs: access members

local room, refused = own_room(args.room_id)
if refused then return refused end

log("command", args.command, { app = args.app_id, room = room.id })
end_room(room, "deleted")
return reply({ room_id = room.id })
