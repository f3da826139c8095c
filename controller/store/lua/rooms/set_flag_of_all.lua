-- Has a flag turned on or off for all members of a room but those that have it so.
-- args: flag on
-- needs: begin_all quotas

local room, refused = room_to_ask_all()
refused = refused or exceeded("webhook_bytes", 0)
if refused then return refused end
local change_to = change_of(FLAGS[args.flag], args.on)
return begin_all(room, change_to.command)
