-- Sessions of the app, only those in a state, of a room or called at a number if that is given.
-- args: app_id state? room? did?
-- needs: pages sessions

local MAX_SCANNED = 200 -- looked at when the list is narrowed

local function is_wanted(id)
  local state, room, ahead, did = unpack(redis.call("HMGET", keys.session(id), "state", "room", "dial_room", "did"))
  return (not args.state or state == args.state) and (not args.room or room == args.room or ahead == args.room)
    and (not args.did or did == args.did)
end

local narrowed = args.state or args.room or args.did
return page(keys.sessions(args.app_id), function(id)
  local session = (not narrowed or is_wanted(id)) and get_session(id)
  return session and describe_session(session)
end, narrowed and MAX_SCANNED)
