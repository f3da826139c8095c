-- Has all members of a room kicked. `reason`: why, in the app's words. It may be repeated for ever, in an empty room,
-- too, and each time a webhook says that it is finished: so, unlike a kick, it needs room for more of them.
-- args: reason?
-- needs: begin_all quotas

local room, refused = room_to_ask_all()
refused = refused or exceeded("webhook_bytes", 0)
if refused then return refused end
return begin_all(room, "kick", args.reason)
