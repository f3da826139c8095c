-- The legs of a room that spans nodes: their records.
--
-- How it works. A room has one source node (`node` of its record): all of the room is mixed there, and its files are
-- played there. Another node on which sessions are in the room has a conference of the same name, and one leg joins
-- that to the source's: a call between the two nodes that is a member on both sides. Sessions of a node are mixed
-- there, and only the leg crosses, whatever their number.
--
-- A leg is dialled in three steps, each after the result of the one before: the source is told the id of the leg that
-- may come (`announce_leg`), the node dials it (`dial_leg`), and each side says by an event that it has the leg as a
-- member. Then it is up, and the sessions that wait for it join. An id is used once, and only the two nodes know it: it
-- is the uuid of the leg's channel on both.
--
-- A leg that breaks is dialled anew, with a new id, later after each attempt that failed or did not last. Meanwhile the
-- node's sessions stay in its conference, and hear each other. A leg that no session needs any more goes after a while,
-- or with its room. If the source is gone, the room moves (lib/move.lua).
-- needs: node_commands

local LEG_MS = 10000 -- within which a leg must be up from when it is dialled
local STEADY_MS = 10000 -- for which a leg has been up if it is dialled again at once when it breaks
local UNUSED_MS = 5000 -- for which a leg stays without sessions
local FIRST_RETRY_MS, MAX_RETRY_MS = 1000, 30000 -- before a leg is dialled again: the double after each failure

-- The leg of a node to its room's source, if there is one.
local function get_leg(room, node)
  local leg = get(keys.leg(room.id, node))
  if leg then leg.node = node end
  return leg
end

-- All legs of a room.
local function legs_of(room)
  local legs = {}
  for _, node in ipairs(redis.call("SMEMBERS", keys.legs(room.id))) do legs[#legs + 1] = get_leg(room, node) end
  return legs
end

-- Whether a leg still goes to a source from which the room has moved: its node's worker is about to dial another.
local function is_left_behind(room, leg) return leg.state ~= LEG.down and leg.source ~= room.node end

local function change_leg(room, leg, fields)
  change(keys.leg(room.id, leg.node), leg, fields)
end

local function step_leg(room, leg, event, fields)
  fields.state = step("LEG", leg.state, event)
  change_leg(room, leg, fields)
  log("state", "leg." .. fields.state, { app = room.app, room = room.id, node = leg.node, source = room.node,
    reason = fields.reason })
end

-- An id that nobody can guess who does not know the `secret`.
local function new_leg_id(room, node, secret)
  local digest = redis.sha1hex(table.concat({ secret, room.id, node, NOW_US }, " "))
  return string.format("%s-%s-4%s-8%s-%s", string.sub(digest, 1, 8), string.sub(digest, 9, 12),
    string.sub(digest, 13, 15), string.sub(digest, 16, 18), string.sub(digest, 19, 30))
end

local function dial_leg(room, leg)
  step_leg(room, leg, "dial", { id = new_leg_id(room, leg.node, leg.id), source = room.node })
  send(room.node, "announce_leg", { app = room.app, room = room.id, leg = leg.id, node = leg.node })
  expect(leg.node, "leg", room.id, LEG_MS)
end

-- Makes the record of a leg that is not dialled yet. `secret`: a uuid that only nodes know.
local function add_leg(room, node, secret)
  local leg = { node = node }
  redis.call("SADD", keys.legs(room.id), node)
  redis.call("SADD", keys.node_rooms(node), room.id)
  change_leg(room, leg, { state = LEG.down, id = new_leg_id(room, node, secret), near = "", far = "",
    failures = 0, since = NOW })
  return leg
end

-- Has a node's leg that is not up looked at in a moment, unless it will be anyway. A worker of an older version may
-- have forgotten it.
local function ensure_tended(room, node)
  redis.call("ZADD", keys.due(node), "NX", NOW, "leg:" .. room.id)
end

local function hang_up_leg(room, leg)
  if leg.source then send(leg.node, "hang_up_leg", { app = room.app, room = room.id, leg = leg.id }) end
end

-- Has the source forget the id of a leg that did not come.
local function withdraw_leg(room, leg)
  send(leg.source, "withdraw_leg", { app = room.app, room = room.id, leg = leg.id })
end

-- Whether any session is in the room, or about to be, on a leg's node. Those that an older version has taken out are
-- still listed by node.
local function is_needed(room, leg)
  return redis.call("SINTERCARD", 2, keys.present_on(room.id, leg.node), keys.present(room.id), "LIMIT", 1) == 1
end

-- Ends a leg: its node needs none any more.
local function end_leg(room, leg)
  hang_up_leg(room, leg)
  if leg.state == LEG.dialing then withdraw_leg(room, leg) end
  confirmed(leg.node, "leg", room.id)
  redis.call("SREM", keys.legs(room.id), leg.node)
  redis.call("SREM", keys.node_rooms(leg.node), room.id)
  redis.call("HDEL", keys.members_on(room.id), leg.node)
  redis.call("DEL", keys.leg(room.id, leg.node), keys.present_on(room.id, leg.node), keys.speakers(room.id, leg.node))
  log("state", "leg.ended", { app = room.app, room = room.id, node = leg.node, source = room.node })
end

-- Lists a session that is in a room, or about to be, by its role.
local function note_role(room, session)
  redis.call(session.role == "moderator" and "SADD" or "SREM", keys.moderators(room.id), session.id)
end

-- Adds a session to those that are in a room or about to be. Those of other nodes than the source are also listed by
-- node, as each has a leg for them.
local function enter_room(room, session)
  redis.call("SADD", keys.present(room.id), session.id)
  note_role(room, session)
  if session.end_on_exit == "1" then redis.call("SADD", keys.enders(room.id), session.id) end
  if session.node ~= room.node then redis.call("SADD", keys.present_on(room.id, session.node), session.id) end
end

local function exit_room(room, session)
  for _, key in ipairs({ keys.present(room.id), keys.moderators(room.id), keys.enders(room.id) }) do
    redis.call("SREM", key, session.id)
  end
  if session.node == room.node then return end
  redis.call("SREM", keys.present_on(room.id, session.node), session.id)
  redis.call("LREM", keys.awaiting_leg(room.id, session.node), 0, session.id)
  local leg = get_leg(room, session.node)
  if leg and not is_needed(room, leg) then expect(leg.node, "leg", room.id, UNUSED_MS) end
end

-- How many members a room has on a node with a leg, found by looking at each.
local function members_found_on(room, node)
  return redis.call("ZINTERCARD", 2, keys.members(room.id), keys.present_on(room.id, node))
end

-- Counts anew how many members a room has on a node with a leg. A worker of an older version counts none.
local function count_anew(room, node)
  redis.call("HSET", keys.members_on(room.id), node, members_found_on(room, node))
end

-- Counts a session that has become a member of the room, or is none any more. Those on the source are the rest of all.
local function count_on_node(room, session, change_by)
  if session.node == room.node then return end
  if redis.call("HEXISTS", keys.members_on(room.id), session.node) == 0 then return count_anew(room, session.node) end
  redis.call("HINCRBY", keys.members_on(room.id), session.node, change_by)
end

-- How many members a room has on each of its nodes; `nodes` are those with a leg.
local function count_by_node(room, nodes)
  local counts, on_source = {}, redis.call("ZCARD", keys.members(room.id))
  local counted = nodes[1] and redis.call("HMGET", keys.members_on(room.id), unpack(nodes))
  for i, node in ipairs(nodes) do
    counts[node] = tonumber(counted[i] or members_found_on(room, node))
    on_source = on_source - counts[node]
  end
  counts[room.node] = on_source
  return counts
end

-- Whether nobody is left in the conference on the source: no leg, and no session of its own.
local function is_source_empty(room)
  local nodes = redis.call("SMEMBERS", keys.legs(room.id))
  for _, node in ipairs(nodes) do
    local far, state, source = unpack(redis.call("HMGET", keys.leg(room.id, node), "far", "state", "source"))
    if far ~= "" and not is_left_behind(room, { state = state, source = source }) then return false end
  end
  return count_by_node(room, nodes)[room.node] == 0
end

-- The nodes of a room as the API shows them, the source first.
local function describe_nodes(room)
  local others, nodes = redis.call("SMEMBERS", keys.legs(room.id)), {}
  local counts = count_by_node(room, others)
  table.sort(others)
  nodes[1] = { prefix = room.node, members = counts[room.node], bridge = "source" }
  for _, node in ipairs(others) do
    local state, source = unpack(redis.call("HMGET", keys.leg(room.id, node), "state", "source"))
    nodes[#nodes + 1] = { prefix = node, members = counts[node],
      bridge = is_left_behind(room, { state = state, source = source }) and LEG.down or state }
  end
  return nodes
end
