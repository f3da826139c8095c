-- Sets the volume of a room's playback, of what plays and what follows.
-- args: command room_id volume
-- needs: access cooldowns quotas playback

local room, no = own_room(args.room_id)
if no then return no end
local limit = limited(room.id)
if limit then return limit end
local full = exceeded("webhook_bytes", 0)
if full then return full end

start_cooldown(room.id)
change(keys.room(room.id), room, { volume = args.volume })
log("command", args.command, { app = room.app, room = room.id, operation = room.operation, volume = args.volume })
fix_volume(room)
emit_room(room, "conference.play.volume_changed", { operation_id = room.operation, volume = args.volume })
return cjson.encode({ operation_id = room.operation, status = "volume_changed", volume = args.volume })
