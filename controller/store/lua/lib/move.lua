-- How a room moves to another node when its source is gone.
-- needs: leg_changes

local MOVE_MS = 10000 -- after which a room leaves a source that is down

-- The node with most sessions of those that have a leg and are not `down`.
local function best_node(room, down)
  local best, most
  for _, leg in ipairs(legs_of(room)) do
    local count = redis.call("SCARD", keys.present_on(room.id, leg.node))
    local better = not best or count > most or (count == most and leg.node < best.node)
    if not down[leg.node] and better then best, most = leg, count end
  end
  return best
end

-- Makes another node the room's source, and gives each of the rest a leg to it. What the old source played is over.
local function move_room(room, down)
  local old, leg = room.node, best_node(room, down)
  if not leg then return false end
  end_operations(room, "interrupted")
  clear(keys.room(room.id), room, "flight", "stopping", "pause_job")
  -- Sessions of the source are only in the list of all.
  local others = {}
  for _, each in ipairs(legs_of(room)) do others[#others + 1] = keys.present_on(room.id, each.node) end
  redis.call("SDIFFSTORE", keys.present_on(room.id, old), keys.present(room.id), unpack(others))
  local secret = leg.id
  each_awaiting(room, leg, send_join)
  end_leg(room, leg)
  redis.call("SADD", keys.node_rooms(leg.node), room.id)
  change(keys.room(room.id), room, { node = leg.node })
  log("state", "room.moved", { app = room.app, room = room.id, node = room.node, source = old })
  for _, item in ipairs({ "close", "ending" }) do
    local due = redis.call("ZSCORE", keys.due(old), item .. ":" .. room.id)
    confirmed(old, item, room.id)
    if due then redis.call("ZADD", keys.due(room.node), due, item .. ":" .. room.id) end
  end
  for _, each in ipairs(legs_of(room)) do
    if each.state ~= LEG.down then
      hang_up_leg(room, each)
      step_leg(room, each, "left", { near = "", far = "", since = NOW })
    end
    dial_leg(room, each, each.id)
  end
  if redis.call("EXISTS", keys.present_on(room.id, old)) == 0 then
    redis.call("SREM", keys.node_rooms(old), room.id)
  else
    change_leg(room, add_leg(room, old), { id = secret })
    expect(old, "leg", room.id, 0)
  end
  return true
end

-- What is to be done about a leg on `node` that waits, did not come up in time, or that nobody needs. `down`: the nodes
-- that are.
local function tend_leg(room, leg, down)
  if redis.call("EXISTS", keys.present_on(room.id, leg.node)) == 0 then
    return end_leg(room, leg)
  end
  if leg.state == LEG.dialing then return leg_lost(room, leg, "fail", "no_answer") end
  if leg.state ~= LEG.down or room.closing then return end
  if down[room.node] and NOW - leg.since >= MOVE_MS and move_room(room, down) then return end
  if down[room.node] or down[leg.node] then return expect(leg.node, "leg", room.id, FIRST_RETRY_MS) end
  dial_leg(room, leg, leg.id)
end
