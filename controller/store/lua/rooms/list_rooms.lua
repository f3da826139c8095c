-- include: access
-- Rooms of the app: all, or the one that is named args.name.
local function describe_room(id)
  local r = redis.call("HMGET", keys.room(id), "name", "created_at")
  return { room_id = id, name = r[1], created_at = tonumber(r[2]), members = redis.call("ZCARD", keys.members(id)) }
end

if not args.name then return page(keys.rooms(args.app_id), describe_room) end
local named = redis.call("HGET", keys.names(args.app_id), args.name)
return cjson.encode({ rows = named and { describe_room(named) } or nil, cursor = 0 })
