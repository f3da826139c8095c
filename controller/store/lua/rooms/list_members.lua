-- Members of a room, in the order in which they joined.
-- args: room_id
-- needs: access pages sessions

local room, refused = own_room(args.room_id)
if refused then return refused end
return page(keys.members(room.id), function(id)
  local session = get_session(id)
  return session and describe_member(session)
end)
