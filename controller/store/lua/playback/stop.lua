-- Stops a room's playback: what plays and all that waits.
-- args: command room_id quotas
-- needs: access cooldowns endings

local room, no = own_room(args.room_id)
if no then return no end
local limit = limited(room.id)
if limit then return limit end

start_cooldown(room.id)
local operation = room.operation
log("command", args.command, { app = room.app, room = room.id, operation = operation })
-- That there was nothing to stop is emitted only while there is room for it: a stop itself is never refused.
if end_operations(room, "stopped") == 0 and used(room.app, "webhook_bytes") <= args.quotas.webhook_bytes then
  emit_room(room, "conference.play.stopped", { operation_id = "" })
end
-- Also with nothing playing as far as is known: a play that counts as failed may be heard after all.
stop_playback(room)
return reply({ operation_id = operation, status = "stopped" })
