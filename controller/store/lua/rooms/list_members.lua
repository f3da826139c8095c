-- include: access
local r, no = own_room(args.room_id)
if no then return no end
return page(keys.members(r.id), function(id)
  local s = get_session(id)
  return s and with_flags(s, { session_id = id, did = s.did, caller_id = s.caller_id })
end)
