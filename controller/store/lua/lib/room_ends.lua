-- How a room ends. Its members are kicked; it stays, `closing`, until the last one is out.
-- needs: leg_changes

-- Why: `deleted`, or what its options say, `empty` or `max_duration`.
local function end_room(room, why)
  redis.call("HDEL", keys.names(room.app), room.name)
  redis.call("ZREM", keys.rooms(room.app), room.id)
  list_by(room, tags_of(room), false)
  change(keys.room(room.id), room, { closing = 1 })
  plan_end(room)
  emit_room(room, "conference.destroyed", with_summary(room, { name = room.name, reason = why }))
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
  local all = get(keys.command_to_all(room.id))
  if all then go_on(room, all) end
  end_operations(room, "interrupted")
  forget_if_over(room)
end
