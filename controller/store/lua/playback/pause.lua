-- include: access playback
local r, no = own_room(args.room_id)
if no then return no end
local limit = limited("conference_control", r.id)
if limit then return limit end
if r.operation == "" then return refuse("nothing_playing") end
local full = exceeded("webhook_bytes", 0)
if full then return full end

start_cooldown("conference_control", r.id)
local paused = r.status ~= "paused"
playback_status(r, paused and "paused" or "playing", r.operation)
send_pause(r)
log("command", args.command, { app = r.app, room = r.id, operation = r.operation })
tell(r, "conference.play.paused", { operation_id = r.operation, paused = paused })
return cjson.encode({ operation_id = r.operation, status = paused and "paused" or "resumed" })
