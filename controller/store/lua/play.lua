-- include: access playback
local MOST_OPERATIONS = 100
local r, no = own_room(A.room_id)
if no then return no end
local limit = limited("conf_play", r.id)
if limit then return limit end
if redis.call("LLEN", K.operations(r.id)) >= MOST_OPERATIONS then return refuse("too_many_operations") end

start_cooldown("conf_play", r.id)
redis.call("HSET", K.operation(A.operation_id), "app", r.app, "room", r.id, "urls", cjson.encode(A.urls),
  "node_urls", cjson.encode(A.node_urls), "total", #A.urls, "next", 0, "settled", 0)
redis.call("RPUSH", K.operations(r.id), A.operation_id)
log("command", "play", { app = r.app, room = r.id, operation = A.operation_id })
if r.operation == "" then playback_status(r, "playing", A.operation_id) end
tell(r, "conference.play.started", { operation_id = A.operation_id, urls = A.urls })
advance(r)
return cjson.encode({ operation_id = A.operation_id, status = "in_progress" })
