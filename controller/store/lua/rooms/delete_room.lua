-- include: access playback endings
local r, no = own_room(args.room_id)
if no then return no end

log("command", args.command, { app = args.app_id, room = r.id })
redis.call("HDEL", keys.names(r.app), r.name)
redis.call("ZREM", keys.rooms(r.app), r.id)
change(keys.room(r.id), r, { closing = 1 })
tell(r, "conference.destroyed", { name = r.name })
if redis.call("SCARD", keys.present(r.id)) > 0 then
  for _, op in ipairs({ "stop", "stop_recording", "kick_all" }) do send(r.node, op, { app = r.app, room = r.id }) end
  due(r.node, "close", r.id)
end
end_operations(r, "interrupted")
forget_if_over(r)
return result({ room_id = r.id })
