-- How a room's operations end before their time, and how a room that was deleted goes. There may be much to tell, so it is
-- told in parts: the operations wait in `ending`, and whoever gets an answer with `ending` (room ids) runs
-- tell_endings.lua for each until there is none. Should that process die, the node's worker does so later (`due`).

local PART = 128 -- told in a step: each file counts one, and so do each 1,024 bytes of URLs
local untold = {} -- rooms of which more is to be told

local function result(fields)
  if #untold > 0 then fields.ending = untold end
  return cjson.encode(fields)
end

local function forget_room(r)
  settled(r.node, "close", r.id)
  redis.call("SREM", keys.node_rooms(r.node), r.id)
  redis.call("DEL", keys.room(r.id), keys.members(r.id), keys.present(r.id), keys.operations(r.id))
end

-- A room that was deleted is forgotten when everybody is out and everything is told.
local function forget_if_over(r)
  if r.closing and redis.call("SCARD", keys.present(r.id)) == 0 and redis.call("EXISTS", keys.ending(r.id)) == 0 then
    forget_room(r)
  end
end

local function tell_endings(r)
  local left = PART
  while left > 0 do
    local id = redis.call("LPOP", keys.ending(r.id))
    if not id then break end
    local o = read_operation(id)
    if o.ending == "stopped" then tell(r, "conference.play.stopped", { operation_id = id })
    else tell_finished(r, o, o.ending) end
    left = left - o.total - o.bytes / 1024
    forget_operation(r.app, id, o.bytes)
  end
  if redis.call("EXISTS", keys.ending(r.id)) == 1 then
    untold[#untold + 1] = r.id
    due(r.node, "ending", r.id)
  else
    settled(r.node, "ending", r.id)
    forget_if_over(r)
  end
end

-- Ends all operations of a room, `stopped` or `interrupted`. Answers how many there were.
local function end_operations(r, how)
  local ids = redis.call("LRANGE", keys.operations(r.id), 0, -1)
  if #ids == 0 then return 0 end
  for _, id in ipairs(ids) do redis.call("HSET", keys.operation(id), "ending", how) end
  redis.call("RPUSH", keys.ending(r.id), unpack(ids))
  redis.call("DEL", keys.operations(r.id))
  playback_status(r, "stopped", "")
  tell_endings(r)
  return #ids
end
