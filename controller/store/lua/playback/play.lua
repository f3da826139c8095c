-- Plays URLs in a room, behind all that plays or waits there. `urls`: each a JSON string as the app sent it.
-- args: command operation_id urls
-- needs: playable playback

local urls = table.concat(args.urls, ",")
local bytes = #urls
local room, refused = playable_room(bytes)
if refused then return refused end

log("command", args.command, { app = room.app, room = room.id, operation = args.operation_id })
if room.operation == "" then step_playback(room, "play", args.operation_id) end
start_cooldown(room.id)
redis.call("HSET", keys.operation(args.operation_id), "app", room.app, "room", room.id, "total", #args.urls,
  "bytes", bytes, "next", 0, "settled", 0)
change(keys.operation(args.operation_id), {}, { actor = origin.actor, trace = origin.trace })
redis.call("RPUSH", keys.urls(args.operation_id), unpack(args.urls))
redis.call("RPUSH", keys.operations(room.id), args.operation_id)
use(room.app, "operations", 1)
use(room.app, "url_bytes", bytes)
emit_room(room, "conference.play.started", { operation_id = args.operation_id }, '"urls":[' .. urls .. "]")
advance(room)
return cjson.encode({ operation_id = args.operation_id, status = "in_progress" })
