-- Whether something may be played in a room.
-- args: room_id
-- needs: access cooldowns quotas

local MAX_OPERATIONS = 100

-- The room, if the app may play URLs of so many bytes in it now; else nil and the refusal.
local function playable_room(bytes)
  local room, no = own_room(args.room_id)
  if no then return nil, no end
  local limit = limited(room.id)
  if limit then return nil, limit end
  if redis.call("LLEN", keys.operations(room.id)) >= MAX_OPERATIONS then return nil, refuse("too_many_operations") end
  local full = exceeded("operations", 1) or exceeded("url_bytes", bytes) or exceeded("webhook_bytes", bytes)
  if full then return nil, full end
  return room
end
