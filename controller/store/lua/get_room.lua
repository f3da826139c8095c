-- include: access
local r, no = own_room(A.room_id)
if no then return no end
local limit = limited()
if limit then return limit end
-- The operations in order, the current one first. Their URLs stay as they are stored, JSON: there may be many.
local operations = {}
for i, id in ipairs(redis.call("LRANGE", K.operations(r.id), 0, -1)) do
  operations[i] = { operation_id = id, urls = redis.call("HGET", K.operation(id), "urls") }
end
return cjson.encode({
  room_id = r.id,
  name = r.name,
  created_at = tonumber(r.created_at),
  members = redis.call("ZCARD", K.members(r.id)),
  playback_status = r.status,
  playback_volume = tonumber(r.volume),
  operations = #operations > 0 and operations or nil,
})
