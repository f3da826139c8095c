-- A room of the app. The URLs of its operations are read afterwards, by a command each, since there may be many.
-- args: room_id
-- needs: access legs recorded room_options kept_out playback
-- lists: operations tags

-- How many files an operation has from the one on that plays, or comes next. What was prepared ahead may be over first.
local function left_of(id)
  local operation = get(keys.operation(id))
  if not operation then return cjson.null end
  local i = 0
  while i < tonumber(operation.next) and OVER[url_state(operation, i)] do i = i + 1 end
  return tonumber(operation.total) - i
end

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
  playing_left = room.operation ~= "" and left_of(room.operation) or cjson.null,
  started_at = tonumber(room.started_at) or cjson.null,
  begun = not waits(room),
})))
