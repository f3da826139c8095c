-- Has a flag turned on or off for all members of a room but those in `exclude` (session ids), moderators if
-- `exclude_moderators`, and those that have it so.
-- args: command room_id flag on exclude exclude_moderators operation_id
-- needs: limits quotas flag_of_all

local room, refused = own_room_now(args.room_id)
if refused then return refused end
if redis.call("EXISTS", keys.flag_of_all(room.id)) == 1 then return refuse("members_pending") end
refused = exceeded("webhook_bytes", 0)
if refused then return refused end

start_cooldown(room.id)
log("command", args.command, { app = room.app, room = room.id, operation = args.operation_id })
local change_to = args.on and FLAGS[args.flag].on or FLAGS[args.flag].off
local all = {}
change(keys.flag_of_all(room.id), all, { operation = args.operation_id, command = change_to.command, flag = args.flag,
  on = args.on and 1 or 0, exclude = cjson.encode(args.exclude),
  exclude_moderators = args.exclude_moderators and 1 or 0, after = 0, last = room.members_seen or 0, waiting = 0,
  changed = 0, failed = 0, named = "[]", actor = origin.actor, trace = origin.trace })
go_on(room, all)
return cjson.encode({ operation_id = args.operation_id, status = "in_progress" })
