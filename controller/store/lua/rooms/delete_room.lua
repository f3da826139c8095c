-- Deletes a room. Members are kicked; the room stays, `closing`, until the last one is out.
-- args: app_id command room_id
-- needs: access leg_changes

local room, refused = own_room(args.room_id)
if refused then return refused end

log("command", args.command, { app = args.app_id, room = room.id })
redis.call("HDEL", keys.names(room.app), room.name)
redis.call("ZREM", keys.rooms(room.app), room.id)
change(keys.room(room.id), room, { closing = 1 })
emit_room(room, "conference.destroyed", { name = room.name })
if redis.call("SCARD", keys.present(room.id)) > 0 then
  expect(room.node, "close", room.id)
  send(room.node, "stop", { app = room.app, room = room.id })
  send(room.node, "stop_recording", { app = room.app, room = room.id })
  send(room.node, "kick_all", { app = room.app, room = room.id })
  for _, leg in ipairs(legs_of(room)) do
    send(leg.node, "kick_all", { app = room.app, room = room.id })
    fail_awaiting(room, leg, "room_destroyed")
  end
end
end_operations(room, "interrupted")
forget_if_over(room)
return reply({ room_id = room.id })
