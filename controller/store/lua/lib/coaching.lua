-- Members that coach another one: each is heard by that one alone, and hears all.
--
-- How it works: on its node a coach is related to each other member of the conference, legs to other nodes among them,
-- as not heard by it; to the one that it coaches it is not related. `coaches` says who that is, from the command until
-- it uncoaches or is out of its room, whether that one is there or not: so nobody hears it by accident. In `unrelated`
-- are those to whom the node has yet to relate it. The node sends no event: the result confirms it. Who joins is kept
-- out until it is related (lib/kept_out.lua). A leg cannot be, and is related as soon as it is there.
-- needs: legs

local MAX_RELATED = 100 -- members in a command: the node takes no more
local EVERYBODY = "all" -- in place of a session: all relations of the coach
local UNDO = "undo" -- in place of a command: a coach is to be heard by all again since it could not be made one
local NOSPEAK, CLEAR = "nospeak", "clear"

local function leg_item(node) return "leg:" .. node end

-- The member id that a session or leg of the room has on a node; nil if it is not there.
local function member_id_on(room, node, item)
  if item == EVERYBODY then return 0 end
  local leg_node = string.match(item, "^leg:(.+)$")
  if leg_node then
    local leg = get_leg(room, leg_node)
    -- One that is left behind has its id on the old source still: here another member may have it.
    local is_far = leg and node == room.node and not is_left_behind(room, leg)
    return leg and tonumber(is_far and leg.far or node == leg.node and leg.near or "")
  end
  local in_room, on, id = unpack(redis.call("HMGET", keys.session(item), "room", "node", "member_id"))
  return in_room == room.id and on == node and tonumber(id) or nil
end

-- Whether a session is on its way into the room.
local function is_coming(room, item)
  local in_room, state = unpack(redis.call("HMGET", keys.session(item), "room", "state"))
  return in_room == room.id and state == SESSION.joining
end

local function send_relation(room, coach, how, items, ids, again)
  for first = 1, #items, MAX_RELATED do
    local last = math.min(first + MAX_RELATED - 1, #items)
    local part = { unpack(items, first, last) }
    local job = send(coach.node, "relate", { app = room.app, room = room.id, session = coach.id, how = how,
      member_id = tonumber(coach.member_id), others = { unpack(ids, first, last) }, items = part, again = again })
    for _, item in ipairs(part) do redis.call("HSET", keys.unrelated(coach.id), item, job) end
  end
end

-- Has the node relate a coach to these as it is to be. One that is on its way is related when it is there. `again`: 1
-- if it may have been told so before.
local function relate(room, coach, items, again)
  local of = { [NOSPEAK] = { items = {}, ids = {} }, [CLEAR] = { items = {}, ids = {} } }
  for _, item in ipairs(items) do
    local id = member_id_on(room, coach.node, item)
    if id then
      local is_heard = item == coach.coaches or item == EVERYBODY
      local part = of[is_heard and CLEAR or NOSPEAK]
      part.items[#part.items + 1], part.ids[#part.ids + 1] = item, id
    elseif is_coming(room, item) then
      redis.call("HSET", keys.unrelated(coach.id), item, "")
    else
      redis.call("HDEL", keys.unrelated(coach.id), item)
    end
  end
  for _, how in ipairs({ NOSPEAK, CLEAR }) do send_relation(room, coach, how, of[how].items, of[how].ids, again) end
end

-- Whoever is in the room on the coach's node, or about to be, but for those who are kept out: they are related later.
local function others_of(room, coach)
  local items = {}
  for _, id in ipairs(redis.call("SMEMBERS", keys.present(room.id))) do
    local node, state, job, kept_out = unpack(redis.call("HMGET", keys.session(id), "node", "state", "job", "kept_out"))
    if id ~= coach.id and node == coach.node then
      if state ~= SESSION.joining or job and not kept_out then
        items[#items + 1] = id
      elseif not job then
        redis.call("HSET", keys.session(id), "kept_out", 1)
      end
    end
  end
  for _, node in ipairs(redis.call("SMEMBERS", keys.legs(room.id))) do items[#items + 1] = leg_item(node) end
  return items
end

-- Has the node make a coach heard by nobody but whom it coaches.
local function hide(room, coach) relate(room, coach, others_of(room, coach)) end

-- Calls `action` with each of a room's coaches on a node.
local function each_coach(room, node, action)
  for _, id in ipairs(redis.call("SMEMBERS", keys.coaches(room.id))) do
    local coach = get_session(id)
    if coach and coach.room == room.id and coach.node == node then action(coach) end
  end
end

-- A session or leg is in the room on a node: the coaches there are related to it.
local function relate_to(room, node, item)
  each_coach(room, node, function(coach)
    local ends = coach.coach_change == "uncoach" or coach.coach_change == UNDO
    if coach.id ~= item and not ends then relate(room, coach, { item }) end
  end)
end

-- Whether a coach may still be heard by a member that shall not hear it, or not by the one that shall.
local function is_unrelated(session)
  if not session.room then return false end
  for _, id in ipairs(redis.call("SMEMBERS", keys.coaches(session.room))) do
    if redis.call("HEXISTS", keys.unrelated(id), session.id) == 1 then return true end
  end
  return false
end
