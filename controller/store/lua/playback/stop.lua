-- include: access playback endings
local r, no = own_room(args.room_id)
if no then return no end
local limit = limited("conference_control", r.id)
if limit then return limit end

start_cooldown("conference_control", r.id)
local operation = r.operation
log("command", args.command, { app = r.app, room = r.id, operation = operation })
-- That there was nothing to stop is told only while there is room for it: a stop itself is never refused.
if end_operations(r, "stopped") == 0 and used(r.app, "webhook_bytes") <= args.quotas.webhook_bytes then
  tell(r, "conference.play.stopped", { operation_id = "" })
end
-- Also with nothing playing as far as is known: a play that counts as failed may be heard after all.
silence(r)
return result({ operation_id = operation, status = "stopped" })
