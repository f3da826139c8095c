-- Creates a room on a node, with `options` by their names; refuses without one.
-- args: app_id command name options? room_id? node?
-- needs: quotas outbox room_options

local taken = redis.call("HGET", keys.names(args.app_id), args.name)
if taken then return refuse("name_taken", { room_id = taken }) end
local refused = exceeded("rooms", 1) or exceeded("webhook_bytes", 0)
if refused then return refused end
if not args.node then return refuse("no_node") end

local room = { id = args.room_id, app = args.app_id, node = args.node }
redis.call("HSET", keys.room(room.id), "app", args.app_id, "node", args.node, "name", args.name,
  "created_at", math.floor(NOW / 1000), "seq", 0, "volume", 0, "status", PLAYBACK.stopped, "operation", "")
redis.call("HSET", keys.names(args.app_id), args.name, room.id)
redis.call("ZADD", keys.rooms(args.app_id), redis.call("INCR", keys.order()), room.id)
redis.call("SADD", keys.node_rooms(args.node), room.id)
log("command", args.command, { app = args.app_id, room = room.id })
set_options(room, args.options or {})
note_empty(room)
emit_room(room, "conference.created", { name = args.name })
return cjson.encode({ room_id = room.id })
