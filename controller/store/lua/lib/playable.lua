-- Whether URLs may be played in a room.
-- args: room_id relay_up
-- needs: access limits quotas

local MAX_OPERATIONS = 100

-- The room, if the app may play URLs of so many `bytes` in it now; else nil and the refusal.
local function playable_room(bytes)
  local room, refused = own_room_now(args.room_id)
  if refused then return nil, refused end
  if not args.relay_up then return nil, refuse("no_relay") end
  if redis.call("LLEN", keys.operations(room.id)) >= MAX_OPERATIONS then return nil, refuse("too_many_operations") end
  refused = exceeded("operations", 1) or exceeded("url_bytes", bytes) or exceeded("webhook_bytes", bytes)
  if refused then return nil, refused end
  return room
end
