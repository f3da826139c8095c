-- Pauses a room's playback, or resumes it.
-- args: command room_id
-- needs: access limits quotas playback

local room, refused = own_room_now(args.room_id)
if refused then return refused end
if room.operation == "" then return refuse("nothing_playing") end
refused = exceeded("webhook_bytes", 0)
if refused then return refused end

local paused = room.status ~= PLAYBACK.paused
step_playback(room, paused and "pause" or "resume", room.operation)
start_cooldown(room.id)
send_pause(room)
log("command", args.command, { app = room.app, room = room.id, operation = room.operation })
emit_room(room, "conference.play.paused", { operation_id = room.operation, paused = paused })
return cjson.encode({ operation_id = room.operation, status = paused and "paused" or "resumed" })
