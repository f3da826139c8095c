-- The node is done with a file, of which it has played so many `samples`. For a file of an operation that is over, this
-- changes nothing.
-- args: node room_id operation_id index samples?
-- needs: node_fence playback

if fenced() then return refusal("fenced") end
local room = get_room(args.room_id)
local operation = room and get_operation(args.operation_id)
if not operation or operation.room ~= room.id or room.node ~= args.node then return cjson.encode({ unknown = true }) end
local state = url_state(operation, args.index)
if state ~= URL.sent and state ~= URL.queued then return cjson.encode({ known = true }) end
act_for(operation)
log("event", "play-file-done", { app = room.app, room = room.id, operation = operation.id, index = args.index })
-- That it went on to the second part may have been missed.
if (args.samples or 0) > rest_of(operation, args.index) then rest_began(operation, args.index) end
end_urls_before(room, operation.id, args.index)
file_ended(room, get_operation(operation.id), args.index)
fix_volume(room)
advance(room)
return cjson.encode({ played = true })
