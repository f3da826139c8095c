-- Has all members of a room kicked. `reason`: why, in the app's words.
-- args: reason?
-- needs: begin_all

local room, refused = room_to_ask_all()
if refused then return refused end
return begin_all(room, "kick", args.reason)
