-- A leg's node is gone for good.
-- args: node room_id
-- needs: legs node_fence

if fenced() then return refusal("fenced") end
local room = get_room(args.room_id)
local leg = room and get_leg(room, args.node)
if leg then end_leg(room, leg) end
return "{}"
