-- A node says that a leg is no member any more. `cause`: the hangup cause, empty if it was taken out.
-- args: node leg room_id cause?
-- needs: leg_changes node_fence

if fenced() then return refusal("fenced") end
local room = get_room(args.room_id)
local leg = room and find_leg(room, args.leg)
if not leg or leg.state == LEG.down then return cjson.encode({ known = true }) end
log("event", "del-member", { app = room.app, room = room.id, node = args.node, leg = leg.node, cause = args.cause })
leg_lost(room, leg, leg.state == LEG.connected and "left" or "fail", args.cause ~= "" and args.cause or "left")
return reply({ left = true })
