-- include: access playback
local r, no = own_room(A.room_id)
if no then return no end
local limit = limited("conference_control", r.id)
if limit then return limit end
if r.operation == "" then return refuse("nothing_playing") end

start_cooldown("conference_control", r.id)
local paused = r.status ~= "paused"
playback_status(r, paused and "paused" or "playing", r.operation)
local job = send(r.node, "pause", { app = r.app, room = r.id, operation = r.operation, paused = paused })
change(K.room(r.id), r, { pause_job = job })
log("command", "pause", { app = r.app, room = r.id, operation = r.operation })
tell(r, "conference.play.paused", { operation_id = r.operation, paused = paused })
return cjson.encode({ operation_id = r.operation, status = paused and "paused" or "resumed" })
