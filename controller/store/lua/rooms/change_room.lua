-- Changes the `options` of a room that are given, by their names; `null` takes a limit away. Nobody who is in the room
-- is taken out. Replies with all options.
-- args: app_id command room_id options
-- needs: access quotas outbox room_options
-- lists: tags

local room, refused = own_room(args.room_id)
refused = refused or exceeded("webhook_bytes", 0)
if refused then return refused end

log("command", args.command, { app = args.app_id, room = room.id })
if set_options(room, args.options) then
  -- Since when a room of version 0.1 has been empty is not known.
  if not room.empty_since then note_empty(room) end
  plan_end(room)
  local data = with_options(room, { name = room.name })
  data.tags = nil
  emit_room(room, "conference.updated", data, '"tags":' .. tags_of(room))
end
return cjson.encode(with_options(room, { room_id = room.id }))
