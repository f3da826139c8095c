-- Which `sessions` speak in a room on a node, the first to begin in front; for `ttl` (ms) unless it is said again.
-- Tells who has the floor, if the room asks for that: whoever has it keeps it until it is silent and another speaks.
-- args: node room_id sessions ttl quotas
-- needs: node_fence member_webhooks

local LEAST_MS = 500 -- between two webhooks of a room

if fenced() then return refusal("fenced") end
local room = get_room(args.room_id)
if not room or room.closing or not room.speaker_events then return cjson.encode({ unknown = true }) end
local key = keys.speakers(room.id, args.node)
redis.call("DEL", key)
for _, id in ipairs(args.sessions) do redis.call("SADD", key, id) end
redis.call("PEXPIRE", key, args.ttl)

local holder = room.floor and get_session(room.floor)
if holder and is_speaking(holder) then return "{}" end
-- What comes too soon is said again in a second.
local is_too_soon = NOW - (tonumber(room.floor_at) or 0) < LEAST_MS
if is_too_soon or is_crowded(room.app) then return "{}" end
for _, id in ipairs(args.sessions) do
  local session = get_session(id)
  if session and session.room == room.id and session.member_id then
    if id ~= room.floor then
      change(keys.room(room.id), room, { floor = id, floor_at = NOW })
      emit_member(room, "conference.speaker.changed", member_data(session), session)
    end
    break
  end
end
return "{}"
