-- Sets the volume of a room's playback, of what plays and what follows.
-- args: command room_id volume
-- needs: limits quotas playback

local room, refused = own_room_now(args.room_id)
if refused then return refused end
refused = exceeded("webhook_bytes", 0)
if refused then return refused end

start_cooldown(room.id)
change(keys.room(room.id), room, { volume = args.volume })
log("command", args.command, { app = room.app, room = room.id, operation = room.operation, volume = args.volume })
fix_volume(room)
emit_room(room, "conference.play.volume_changed", { operation_id = room.operation, volume = args.volume })
return cjson.encode({ operation_id = room.operation, status = "volume_changed", volume = args.volume })
