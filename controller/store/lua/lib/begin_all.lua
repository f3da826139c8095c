-- How a command to all members of a room begins, but for those in `exclude` (session ids), and moderators if
-- `exclude_moderators`.
-- args: command room_id exclude exclude_moderators operation_id
-- needs: limits command_to_all

-- The app's own room, or nil and the refusal.
local function room_to_ask_all()
  local room, refused = own_room_now(args.room_id)
  if not room then return nil, refused end
  if redis.call("EXISTS", keys.command_to_all(room.id)) == 1 then return nil, refuse("members_pending") end
  return room
end

-- Begins `command`, as it is to be given to each member. Returns the reply.
local function begin_all(room, command, kick_reason)
  start_cooldown(room.id)
  log("command", args.command, { app = room.app, room = room.id, operation = args.operation_id })
  local all = {}
  change(keys.command_to_all(room.id), all, { operation = args.operation_id, command = command,
    kick_reason = kick_reason, exclude = cjson.encode(args.exclude),
    exclude_moderators = args.exclude_moderators and 1 or 0, after = 0, last = room.members_seen or 0, waiting = 0,
    changed = 0, failed = 0, named = "[]", actor = origin.actor, trace = origin.trace })
  go_on(room, all)
  return cjson.encode({ operation_id = args.operation_id, status = "in_progress" })
end
