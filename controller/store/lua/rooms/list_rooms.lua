-- Rooms of the app: all, or the one that has a name.
-- args: app_id name?
-- needs: pages records

local function describe_room(id)
  local record = {}
  record.name, record.created_at = unpack(redis.call("HMGET", keys.room(id), "name", "created_at"))
  return { room_id = id, name = text_in(record, "name"), created_at = number_in(record, "created_at", 11),
    members = redis.call("ZCARD", keys.members(id)) }
end

if not args.name then return page(keys.rooms(args.app_id), describe_room) end
local rows, named = {}, redis.call("HGET", keys.names(args.app_id), args.name)
if named then
  local succeeded, row = try(named, describe_room, named)
  if succeeded then rows[1] = row end
end
return cjson.encode({ rows = as_list(rows), cursor = 0, broken = as_list(broken) })
