-- include: access playback
local r, no = own_room(args.room_id)
if no then return no end
local limit = limited("conference_control", r.id)
if limit then return limit end
local full = exceeded("webhook_bytes", 0)
if full then return full end

start_cooldown("conference_control", r.id)
change(keys.room(r.id), r, { volume = args.volume })
log("command", args.command, { app = r.app, room = r.id, operation = r.operation, volume = args.volume })
fix_volume(r)
tell(r, "conference.play.volume_changed", { operation_id = r.operation, volume = args.volume })
return cjson.encode({ operation_id = r.operation, status = "volume_changed", volume = args.volume })
