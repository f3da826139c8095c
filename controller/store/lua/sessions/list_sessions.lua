-- include: access describe
-- Sessions of the app: args.state, args.room and args.did narrow them.
local SCAN = 200

local narrowed = args.state or args.room or args.did
local function is_wanted(id)
  local s = redis.call("HMGET", keys.session(id), "state", "room", "did")
  return (not args.state or s[1] == args.state) and (not args.room or s[2] == args.room) and (not args.did or s[3] == args.did)
end

return page(keys.sessions(args.app_id), function(id)
  local s = (not narrowed or is_wanted(id)) and get_session(id)
  return s and describe_session(s)
end, narrowed and SCAN)
