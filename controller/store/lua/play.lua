-- include: access playable playback
-- A.urls: each a JSON string as the app sent it; A.node_urls: as the node gets them, if that differs.
local urls = table.concat(A.urls, ",")
local bytes = #urls
local r, no = playable_room(bytes)
if no then return no end

start_cooldown("conf_play", r.id)
redis.call("HSET", K.operation(A.operation_id), "app", r.app, "room", r.id, "total", #A.urls, "bytes", bytes, "next", 0,
  "settled", 0)
redis.call("RPUSH", K.urls(A.operation_id), unpack(A.urls))
if A.node_urls then redis.call("RPUSH", K.node_urls(A.operation_id), unpack(A.node_urls)) end
redis.call("RPUSH", K.operations(r.id), A.operation_id)
use(r.app, "operations", 1)
use(r.app, "url_bytes", bytes)
log("command", A.command, { app = r.app, room = r.id, operation = A.operation_id })
if r.operation == "" then playback_status(r, "playing", A.operation_id) end
tell(r, "conference.play.started", { operation_id = A.operation_id }, '"urls":[' .. urls .. "]")
advance(r)
return cjson.encode({ operation_id = A.operation_id, status = "in_progress" })
