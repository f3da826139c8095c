-- include: access
local taken = redis.call("HGET", K.names(A.app_id), A.name)
if taken then return refuse("name_taken", { room_id = taken }) end
local full = exceeded("rooms", 1) or exceeded("webhook_bytes", 0)
if full then return full end
if not A.node then return refuse("no_node") end

local r = { id = A.room_id, app = A.app_id }
redis.call("HSET", K.room(r.id), "app", A.app_id, "node", A.node, "name", A.name, "created_at", math.floor(NOW / 1000),
  "seq", 0, "volume", 0, "status", "stopped", "operation", "")
redis.call("HSET", K.names(A.app_id), A.name, r.id)
redis.call("ZADD", K.rooms(A.app_id), redis.call("INCR", K.order()), r.id)
redis.call("SADD", K.node_rooms(A.node), r.id)
log("command", A.command, { app = A.app_id, room = r.id })
tell(r, "conference.created", { name = A.name })
return cjson.encode({ room_id = r.id })
