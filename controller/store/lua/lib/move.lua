-- How a room moves to another node when its source is gone. `up`: the nodes that are up, each with whether it takes new
-- rooms (`open`) and is reached now (`reached`): one that is not may just be changing hands. A node that is not named
-- has been down for a while, or was removed. It is JSON, read only when it is needed: a sweep of a node has it with it,
-- and most find nothing to do.
-- args: up
-- needs: leg_changes recordings

local REDIALLED = 10 -- legs that are dialled to the new source in the step of the move
local MOVE_MS = 10000 -- after which a room leaves a source that is down
local RECHECK_MS = 1000 -- before a leg is looked at again while one of its nodes is not reached

local function nodes_up()
  if type(args.up) == "string" then args.up = cjson.decode(args.up) end
  return args.up
end

local function is_up(node) return nodes_up()[node] ~= nil end

local function is_reached(node) return is_up(node) and nodes_up()[node].reached end

-- The node that is best as the source, of those with a leg: of those that are up, one that takes new rooms if there is
-- any, and of these the one with most sessions.
local function best_node(room, nodes)
  local found = {}
  for _, node in ipairs(nodes) do
    if is_up(node) then
      found[#found + 1] = { node = node, is_open = nodes_up()[node].open,
        count = redis.call("SCARD", keys.present_on(room.id, node)) }
    end
  end
  table.sort(found, function(one, other)
    if one.is_open ~= other.is_open then return one.is_open end
    if one.count ~= other.count then return one.count > other.count end
    return one.node < other.node
  end)
  return found[1] and found[1].node
end

-- Whether a node that is up has its leg to the source: then the source is there, and only the controller has lost it.
local function is_source_there(room, nodes)
  for _, node in ipairs(nodes) do
    local state, source = unpack(redis.call("HMGET", keys.leg(room.id, node), "state", "source"))
    if state == LEG.connected and source == room.node and is_up(node) then return true end
  end
  return false
end

-- Has a leg go to the source that the room has now.
local function redial_leg(room, leg)
  if leg.state ~= LEG.down then
    hang_up_leg(room, leg)
    step_leg(room, leg, "left", { near = "", far = "", since = NOW })
  end
  if leg.fails then clear(keys.leg(room.id, leg.node), leg, "fails") end
  dial_leg(room, leg)
end

-- Makes another node the room's source, and gives each of the rest a leg to it: some now, and the others when their
-- nodes' workers look for what is overdue. What the old source played is over. `new` may have no leg if no session is
-- on the old one.
local function move_to(room, new)
  local nodes, old, leg = redis.call("SMEMBERS", keys.legs(room.id)), room.node, get_leg(room, new)
  end_operations(room, "interrupted")
  clear(keys.room(room.id), room, "flight", "stopping", "pause_job")
  -- What there is of it is on the old source.
  local recording = current_recording(room)
  if recording then
    recording_ended(recording, { reason = "node_lost" })
    clear(keys.room(room.id), room, "recording")
  end
  -- The old source was listed and counted with all, and the new one by itself.
  redis.call("SINTERSTORE", keys.present_on(room.id, old), keys.node_sessions(old), keys.present(room.id))
  redis.call("HSET", keys.members_on(room.id), old, count_by_node(room, nodes)[old])
  if leg then end_leg(room, leg) end
  redis.call("SADD", keys.node_rooms(new), room.id)
  change(keys.room(room.id), room, { node = new })
  join_awaiting(room, new)
  log("state", "room.moved", { app = room.app, room = room.id, node = room.node, source = old })
  record_room(room)
  for _, kind in ipairs(DUE_OF_ROOM) do
    local due = redis.call("ZSCORE", keys.due(old), kind .. ":" .. room.id)
    confirmed(old, kind, room.id)
    if due then redis.call("ZADD", keys.due(room.node), due, kind .. ":" .. room.id) end
  end
  for i, node in ipairs(redis.call("SMEMBERS", keys.legs(room.id))) do
    if i <= REDIALLED then redial_leg(room, get_leg(room, node)) else expect(node, "leg", room.id, 0) end
  end
  if redis.call("EXISTS", keys.present_on(room.id, old)) == 0 or not leg then
    redis.call("SREM", keys.node_rooms(old), room.id)
  else
    add_leg(room, old, leg.id)
    expect(old, "leg", room.id, 0)
  end
end

-- Moves a room whose source is down to the best node that has a leg. Returns whether there is one.
local function move_room(room)
  local nodes = redis.call("SMEMBERS", keys.legs(room.id))
  local best = not is_source_there(room, nodes) and best_node(room, nodes)
  if best then move_to(room, best) end
  return best
end

-- Moves a room whose source is gone for good, with all sessions that were there, to the best node that has a leg, or
-- else to another one.
local function leave_source(room, other)
  local new = best_node(room, redis.call("SMEMBERS", keys.legs(room.id))) or other
  if new then move_to(room, new) end
end

-- What is to be done about a leg that waits, did not come up in time, or that nobody needs.
local function tend_leg(room, leg)
  if room.closing and fail_awaiting(room, leg.node, MAX_FAILED, "room_destroyed") > 0 then return end
  if leg.fails then return tend_lost_leg(room, leg) end
  if not is_needed(room, leg) then return end_leg(room, leg) end
  if is_left_behind(room, leg) then return redial_leg(room, leg) end
  if leg.state == LEG.connected then return join_awaiting(room, leg.node) end
  local is_source_reached = is_reached(room.node)
  if leg.state == LEG.dialing then
    return leg_lost(room, leg, "fail", is_source_reached and "no_answer" or "node_unreachable")
  end
  if leg.state ~= LEG.down or room.closing then return end
  if not is_up(room.node) and NOW - leg.since >= MOVE_MS and move_room(room) then return end
  if not (is_source_reached and is_reached(leg.node)) then return expect(leg.node, "leg", room.id, RECHECK_MS) end
  -- One that was the source may play on, and is heard everywhere once it has its first leg.
  if not leg.source then send(leg.node, "stop", { app = room.app, room = room.id }) end
  dial_leg(room, leg)
end
