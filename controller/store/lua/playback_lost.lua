-- include: playback members
-- Files may have ended unseen: the room's operations end as interrupted, and the node is told to stop what is left.
if fenced() then return refuse("fenced") end
local r = get_room(A.room_id)
if not r or (r.operation == "" and not r.flight and not r.stopping) then return cjson.encode({ idle = true }) end
clear(K.room(r.id), r, "flight", "stopping")
drop_operations(r)
if redis.call("ZCARD", K.members(r.id)) > 0 then send_stop(r) end
return cjson.encode({ interrupted = true })
