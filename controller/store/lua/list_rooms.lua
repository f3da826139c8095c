-- include: access
-- Rooms of the app: all, or the one that is named A.name.
local function describe_room(id)
  local r = redis.call("HMGET", K.room(id), "name", "created_at")
  return { room_id = id, name = r[1], created_at = tonumber(r[2]), members = redis.call("ZCARD", K.members(id)) }
end

if not A.name then return page(K.rooms(A.app_id), describe_room) end
local named = redis.call("HGET", K.names(A.app_id), A.name)
return cjson.encode({ rows = named and { describe_room(named) } or nil, cursor = 0 })
