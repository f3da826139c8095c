-- Rooms of the app: all, or the one that has a name.
-- args: app_id name?
-- needs: pages

local function describe_room(id)
  local name, created_at = unpack(redis.call("HMGET", keys.room(id), "name", "created_at"))
  return { room_id = id, name = name, created_at = tonumber(created_at),
    members = redis.call("ZCARD", keys.members(id)) }
end

if not args.name then return page(keys.rooms(args.app_id), describe_room) end
local named = redis.call("HGET", keys.names(args.app_id), args.name)
return cjson.encode({ rows = named and { describe_room(named) } or nil, cursor = 0 })
