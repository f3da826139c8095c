-- include: access
local r, no = own_room(args.room_id)
if no then return no end
return page(keys.members(r.id), function(id)
  local s = redis.call("HMGET", keys.session(id), "did", "caller_id", "muted")
  return { uuid = id, did = s[1], caller_id = s[2], muted = s[3] == "1" }
end)
