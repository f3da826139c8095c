-- include: playback
-- The node is through with a file. Of an operation that is over already it says so too: that changes nothing.
if fenced() then return refuse("fenced") end
local r = get_room(args.room_id)
local o = r and get_operation(args.operation_id)
if not o or o.room ~= r.id then return cjson.encode({ unknown = true }) end
local state = url_state(o, args.index)
if state ~= "sent" and state ~= "queued" then return cjson.encode({ known = true }) end
log("event", "play-file-done", { app = r.app, room = r.id, operation = o.id, index = args.index })
settle_before(r, o.id, args.index)
settle_urls(r, get_operation(o.id), { args.index }, "played")
fix_volume(r)
return cjson.encode({ played = true })
