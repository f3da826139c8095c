-- A room of the app. The URLs of its operations are read afterwards, by a command each, since there may be many.
-- args: room_id
-- needs: access legs recorded room_options kept_out
-- lists: operations tags

local room, refused = own_room(args.room_id)
if refused then return refused end
local operations = redis.call("LRANGE", keys.operations(room.id), 0, -1)
return cjson.encode(with_summary(room, with_options(room, {
  room_id = room.id,
  name = room.name,
  created_at = tonumber(room.created_at),
  members = redis.call("ZCARD", keys.members(room.id)),
  nodes = describe_nodes(room),
  playback_status = room.status,
  playback_volume = tonumber(room.volume),
  operations = as_list(operations),
  recording = describe_recorded(room.recording),
  started_at = tonumber(room.started_at) or cjson.null,
  begun = not waits(room),
})))
