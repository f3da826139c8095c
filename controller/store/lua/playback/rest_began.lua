-- The node has gone on to the second part of a file.
-- args: node room_id operation_id index
-- needs: node_fence playback

if fenced() then return refusal("fenced") end
local room = get_room(args.room_id)
local operation = room and get_operation(args.operation_id)
if not operation or operation.room ~= room.id or room.node ~= args.node then return cjson.encode({ unknown = true }) end
rest_began(operation, args.index)
end_urls_before(room, operation.id, args.index)
advance(room)
return cjson.encode({ played = true })
