-- include: access
local r, no = own_room(args.room_id)
if no then return no end
-- Their URLs are read one by one afterwards: there may be many.
local operations = redis.call("LRANGE", keys.operations(r.id), 0, -1)
return cjson.encode({
  room_id = r.id,
  name = r.name,
  created_at = tonumber(r.created_at),
  members = redis.call("ZCARD", keys.members(r.id)),
  playback_status = r.status,
  playback_volume = tonumber(r.volume),
  operations = #operations > 0 and operations or nil,
})
