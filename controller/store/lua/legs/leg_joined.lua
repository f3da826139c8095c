-- A node says that a leg is a member of a conference: its own leg, or as the source that of another node.
-- args: node leg room_id member_id
-- needs: coaching leg_changes node_fence

if fenced() then return refusal("fenced") end
local room = get_room(args.room_id)
local leg = room and not room.closing and find_leg(room, args.leg)
local side = leg and (args.node == leg.node and "near" or args.node == room.node and "far")
if not side or leg.state == LEG.down then
  -- It was given up, or its room is: whoever runs this hangs it up.
  return cjson.encode({ stray = true })
end
if leg[side] == tostring(args.member_id) then return cjson.encode({ known = true }) end
log("event", "add-member", { app = room.app, room = room.id, node = args.node, leg = leg.node })
change_leg(room, leg, { [side] = args.member_id })
relate_to(room, args.node, leg_item(leg.node))
if leg.state == LEG.dialing and leg.near ~= "" and leg.far ~= "" then leg_is_up(room, leg) end
return reply({ joined = true })
