-- What the store has of a node in this partition, for the comparison with the node itself: a part of its sessions or
-- rooms (`what`). `cursor`: "0" at first, and again in the last reply. `head` of a room: the file that it plays now or
-- next.
-- args: node what cursor
-- needs: node_fence playback sessions
-- lists: rows

local PART = 100

if fenced() then return refusal("fenced") end

local function describe_head(room)
  if room.operation == "" then return nil end
  local operation, i, state = head(room)
  return operation and { operation = operation.id, index = i, state = state, url = node_url(operation.id, i) }
end

local READ = {}

function READ.sessions(id)
  local session = get_session(id)
  return session and with_flags(session, { id = id, channel = session.channel, app = session.app, room = session.room,
    state = session.state, member_id = tonumber(session.member_id) })
end

function READ.rooms(id)
  local room = get_room(id)
  return room and { id = id, app = room.app, closing = room.closing ~= nil, operation = room.operation,
    stopping = room.stopping ~= nil, occupied = redis.call("ZCARD", keys.members(id)) > 0, head = describe_head(room) }
end

local rows = {}
local index = args.what == "rooms" and keys.node_rooms(args.node) or keys.node_sessions(args.node)
local cursor, ids = unpack(redis.call("SSCAN", index, args.cursor, "COUNT", PART))
for _, id in ipairs(ids) do rows[#rows + 1] = READ[args.what](id) end
return cjson.encode({ rows = as_list(rows), cursor = cursor })
