-- include: playback endings
-- Goes on telling what ended in a room.
local r = get_room(args.room_id)
if r then tell_endings(r) end
return result({})
