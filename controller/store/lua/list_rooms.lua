-- include: access
local limit = limited()
if limit then return limit end
return page(K.rooms(A.app_id), function(id)
  local r = redis.call("HMGET", K.room(id), "name", "created_at")
  return { room_id = id, name = r[1], created_at = tonumber(r[2]), members = redis.call("ZCARD", K.members(id)) }
end)
