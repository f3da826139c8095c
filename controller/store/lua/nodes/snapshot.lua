-- include: playback
-- What the store has of a node in this partition, for the comparison with the node itself: a part (args.cursor, "0" at first and
-- again in the last answer) of its sessions or rooms (args.what). `head`: the file that a room plays now or next.
local PART = 100
local function describe_head(r)
  if r.operation == "" then return nil end
  local o, i, state = head(r)
  return o and { operation = o.id, index = i, state = state, url = node_url(o.id, i) }
end

local READ = {}

function READ.sessions(id)
  local s = get_session(id)
  return s and with_flags(s, { id = id, channel = s.channel, app = s.app, room = s.room, state = s.state,
    member_id = tonumber(s.member_id) })
end

function READ.rooms(id)
  local r = get_room(id)
  return r and { id = id, app = r.app, closing = r.closing ~= nil, operation = r.operation, stopping = r.stopping ~= nil,
    occupied = redis.call("ZCARD", keys.members(id)) > 0, head = describe_head(r) }
end

local rows = {}
local index = args.what == "rooms" and keys.node_rooms(args.node) or keys.node_sessions(args.node)
local cursor, ids = unpack(redis.call("SSCAN", index, args.cursor, "COUNT", PART))
for _, id in ipairs(ids) do rows[#rows + 1] = READ[args.what](id) end
return cjson.encode({ rows = #rows > 0 and rows or nil, cursor = cursor })
