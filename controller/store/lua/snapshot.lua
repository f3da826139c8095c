-- include: playback
-- What the store has of a node in this partition, for the comparison with the node itself. `head`: the file that a room
-- plays now or next.
local function describe_head(r)
  if r.operation == "" then return nil end
  local o, i, state = head(r)
  return o and { operation = o.id, index = i, state = state, url = redis.call("LINDEX", K.node_urls(o.id), i) }
end

local sessions, rooms = {}, {}
for _, id in ipairs(redis.call("SMEMBERS", K.node_sessions(A.node))) do
  local s = get_session(id)
  if s then
    sessions[#sessions + 1] = { id = id, channel = s.channel, app = s.app, room = s.room, state = s.state,
      member_id = tonumber(s.member_id), muted = s.muted == "1" }
  end
end
for _, id in ipairs(redis.call("SMEMBERS", K.node_rooms(A.node))) do
  local r = get_room(id)
  if r then
    rooms[#rooms + 1] = { id = id, app = r.app, closing = r.closing ~= nil, operation = r.operation,
      stopping = r.stopping ~= nil, occupied = redis.call("ZCARD", K.members(id)) > 0, head = describe_head(r) }
  end
end
return cjson.encode({ sessions = #sessions > 0 and sessions or nil, rooms = #rooms > 0 and rooms or nil })
