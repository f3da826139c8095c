-- include: access playable playback
-- args.urls: each a JSON string as the app sent it; args.node_urls: as the node gets them, if that differs.
local urls = table.concat(args.urls, ",")
local bytes = #urls
local r, no = playable_room(bytes)
if no then return no end

start_cooldown("conf_play", r.id)
redis.call("HSET", keys.operation(args.operation_id), "app", r.app, "room", r.id, "total", #args.urls, "bytes", bytes, "next", 0,
  "settled", 0)
redis.call("RPUSH", keys.urls(args.operation_id), unpack(args.urls))
if args.node_urls then redis.call("RPUSH", keys.node_urls(args.operation_id), unpack(args.node_urls)) end
redis.call("RPUSH", keys.operations(r.id), args.operation_id)
use(r.app, "operations", 1)
use(r.app, "url_bytes", bytes)
log("command", args.command, { app = r.app, room = r.id, operation = args.operation_id })
if r.operation == "" then playback_status(r, "playing", args.operation_id) end
tell(r, "conference.play.started", { operation_id = args.operation_id }, '"urls":[' .. urls .. "]")
advance(r)
return cjson.encode({ operation_id = args.operation_id, status = "in_progress" })
