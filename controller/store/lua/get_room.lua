-- include: access
local r, no = own_room(A.room_id)
if no then return no end
local limit = limited()
if limit then return limit end
local urls = r.operation ~= "" and redis.call("HGET", K.operation(r.operation), "urls")
return cjson.encode({
  room_id = r.id,
  name = r.name,
  created_at = tonumber(r.created_at),
  members = redis.call("ZCARD", K.members(r.id)),
  playback_status = r.status,
  playback_volume = tonumber(r.volume),
  playback_urls = urls and cjson.decode(urls) or nil,
  playback_operation_id = r.operation,
})
