-- Pauses a room's playback, or goes on with it.
-- args: command room_id
-- needs: access cooldowns quotas playback

local room, no = own_room(args.room_id)
if no then return no end
local limit = limited(room.id)
if limit then return limit end
if room.operation == "" then return refuse("nothing_playing") end
local full = exceeded("webhook_bytes", 0)
if full then return full end

local paused = room.status ~= PLAYBACK.paused
step_playback(room, paused and "pause" or "resume", room.operation)
start_cooldown(room.id)
send_pause(room)
log("command", args.command, { app = room.app, room = room.id, operation = room.operation })
emit_room(room, "conference.play.paused", { operation_id = room.operation, paused = paused })
return cjson.encode({ operation_id = room.operation, status = paused and "paused" or "resumed" })
