-- How a room's operations end early, and a deleted room is forgotten. That may take many webhooks, emitted in parts:
-- the operations wait in `ending`. A process that gets a reply with `ending` (room ids) runs emit_endings.lua for each
-- room until the replies have none. If the process dies, the node's worker does so later.
-- needs: legs playback

local MAX_EMITTED = 128 -- in a step: each file counts one, and so does each 1,024 bytes of URLs
-- Kinds of what its source's `due` may hold of a room.
local DUE_OF_ROOM = { "all", "close", "ending", "expiry", "let_in" }
local unfinished = empty_each_step({}) -- rooms with more to emit

-- The reply of a script, with the rooms that have more to emit.
local function reply(fields)
  if #unfinished > 0 then fields.ending = unfinished end
  return cjson.encode(fields)
end

local function forget_room(room)
  for _, leg in ipairs(legs_of(room)) do
    end_leg(room, leg)
    redis.call("DEL", keys.awaiting_leg(room.id, leg.node))
  end
  redis.call("DEL", keys.speakers(room.id, room.node), keys.awaiting_leg(room.id, room.node))
  for _, kind in ipairs(DUE_OF_ROOM) do confirmed(room.node, kind, room.id) end
  redis.call("SREM", keys.node_rooms(room.node), room.id)
  redis.call("DEL", keys.room(room.id), keys.members(room.id), keys.present(room.id), keys.operations(room.id),
    keys.command_to_all(room.id), keys.moderators(room.id), keys.enders(room.id), keys.waiting(room.id),
    keys.coaches(room.id), keys.members_on(room.id))
end

-- Forgets a deleted room once everybody is out and everything is emitted.
local function forget_if_over(room)
  local is_empty = redis.call("SCARD", keys.present(room.id)) == 0
  if room.closing and is_empty and redis.call("EXISTS", keys.ending(room.id)) == 0 then forget_room(room) end
end

local function emit_endings(room)
  local left = MAX_EMITTED
  while left > 0 do
    local id = redis.call("LPOP", keys.ending(room.id))
    if not id then break end
    local operation = read_operation(id)
    local before = act_for(operation)
    if operation.ending == "stopped" then
      emit_room(room, "conference.play.stopped", { operation_id = id })
    else
      emit_finished(room, operation, operation.ending)
    end
    act_for(before)
    left = left - operation.total - operation.bytes / 1024
    forget_operation(room.app, id, operation.bytes)
  end
  if redis.call("EXISTS", keys.ending(room.id)) == 1 then
    unfinished[#unfinished + 1] = room.id
    expect(room.node, "ending", room.id)
  else
    confirmed(room.node, "ending", room.id)
    forget_if_over(room)
  end
end

-- Ends all operations of a room, `stopped` or `interrupted`. Returns how many there were.
local function end_operations(room, how)
  local ids = redis.call("LRANGE", keys.operations(room.id), 0, -1)
  if #ids == 0 then return 0 end
  take_back(room)
  step_playback(room, "finish", "")
  for _, id in ipairs(ids) do
    local key = keys.operation(id)
    -- What is emitted follows from what ends it, if that is known, else from the play.
    if next(origin) then redis.call("HDEL", key, "actor", "trace") end
    change(key, {}, { ending = how, actor = origin.actor, trace = origin.trace })
  end
  redis.call("RPUSH", keys.ending(room.id), unpack(ids))
  redis.call("DEL", keys.operations(room.id))
  emit_endings(room)
  return #ids
end

-- Ends the operations of a room that nobody hears any more, and stops what its source may play nevertheless: a leg may
-- still be there, or come.
local function interrupt(room)
  if end_operations(room, "interrupted") > 0 then stop_playback(room) end
end
