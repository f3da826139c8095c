-- Rooms of the app: all, those that have a tag, or the one that has a name (and the tag).
-- args: app_id name? tag?
-- needs: pages recorded sessions

local function describe_room(id)
  local record = {}
  record.name, record.created_at, record.tags, record.recording =
    unpack(redis.call("HMGET", keys.room(id), "name", "created_at", "tags", "recording"))
  return { room_id = id, name = text_in(record, "name"), created_at = number_in(record, "created_at", 11),
    tags = as_list(cjson.decode(tags_of(record))), members = redis.call("ZCARD", keys.members(id)),
    recording = describe_recorded(record.recording) }
end

local list = args.tag and keys.tagged(args.app_id, args.tag) or keys.rooms(args.app_id)
if not args.name then return page(list, describe_room) end
local rows, named = {}, redis.call("HGET", keys.names(args.app_id), args.name)
if named and redis.call("ZSCORE", list, named) then
  local succeeded, row = try(named, describe_room, named)
  if succeeded then rows[1] = row end
end
return cjson.encode({ rows = as_list(rows), cursor = 0, broken = as_list(broken) })
