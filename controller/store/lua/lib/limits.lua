-- What keeps a command to a node back.
-- args: nodes
-- needs: access cooldowns

-- Who runs the script says of nodes what it knows, { up, open }. If it did not say it of this one, it is told to run
-- the script again.
local function node_unknown(node)
  if not args.nodes[node] then return refusal("unknown_node", { node = node }) end
end

local function node_down(node)
  local unknown = node_unknown(node)
  if unknown then return unknown end
  if not args.nodes[node].up then return refuse("node_down") end
end

-- Refuses while the command's group cools down for `id`, or the node is down.
local function limited(id, node)
  return cooling_down(id) or node_down(node)
end

-- The app's own room, unless something keeps a command about it back; else nil and the refusal.
local function own_room_now(id)
  local room, refused = own_room(id)
  refused = refused or limited(id, room.node)
  if refused then return nil, refused end
  return room
end
