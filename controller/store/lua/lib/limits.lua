-- What keeps a command to a node back.
-- args: node_up
-- needs: access cooldowns

-- Refuses while the command's group cools down for `id`, or the node is down.
local function limited(id)
  local refused = cooling_down(id)
  if refused then return refused end
  if not args.node_up then return refuse("node_down") end
end

-- The app's own room, unless something keeps a command about it back; else nil and the refusal.
local function own_room_now(id)
  local room, refused = own_room(id)
  refused = refused or limited(id)
  if refused then return nil, refused end
  return room
end
