-- Stops a room's playback: what plays and all that waits.
-- args: command room_id quotas
-- needs: limits endings

local room, refused = own_room_now(args.room_id)
if refused then return refused end

start_cooldown(room.id)
local operation = room.operation
log("command", args.command, { app = room.app, room = room.id, operation = operation })
-- With nothing to stop, a webhook is emitted only if the quota has room for it; a stop itself is never refused.
if end_operations(room, "stopped") == 0 and used(room.app, "webhook_bytes") <= args.quotas.webhook_bytes then
  emit_room(room, "conference.play.stopped", { operation_id = "" })
end
-- Also when the store knows of nothing that plays: a play that counts as failed may be heard after all.
stop_playback(room)
return reply({ operation_id = operation, status = "stopped" })
