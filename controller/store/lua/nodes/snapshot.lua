-- What the store has of a node in this partition, for the comparison with the node itself: a part of its sessions or
-- rooms (`what`). `cursor`: "0" at first, and again in the last reply. `head` of a room: the file that it plays now or
-- next. The ids of those that cannot be read are in `broken`.
-- args: node what cursor
-- needs: node_fence playback records sessions
-- lists: rows

local PART = 100

if fenced() then return refusal("fenced") end

local function describe_head(room)
  if room.operation == "" then return nil end
  local operation, i, state = head(room)
  return operation and { operation = operation.id, index = i, state = state, url = node_url(operation, i) }
end

-- A name that a command to the node may hold.
local function name_in(record, field)
  local name = text_in(record, field)
  return #name <= 128 and string.match(name, "^[%w_][%w_.-]*$") or error(field .. " is no name", 2)
end

local READ = {}

function READ.sessions(id)
  local session = get_session(id)
  return session and with_flags(session, { id = id, channel = name_in(session, "channel"),
    app = text_in(session, "app"), room = session.room, state = text_in(session, "state"),
    member_id = session.member_id and number_in(session, "member_id", 10) })
end

function READ.rooms(id)
  local room = get_room(id)
  return room and { id = name_in(room, "id"), app = text_in(room, "app"), closing = room.closing ~= nil,
    operation = text_in(room, "operation"), stopping = room.stopping ~= nil,
    occupied = redis.call("ZCARD", keys.members(id)) > 0, head = describe_head(room) }
end

local rows = {}
local index = args.what == "rooms" and keys.node_rooms(args.node) or keys.node_sessions(args.node)
local cursor, ids = unpack(redis.call("SSCAN", index, args.cursor, "COUNT", PART))
for _, id in ipairs(ids) do
  local succeeded, row = try(id, READ[args.what], id)
  if succeeded then rows[#rows + 1] = row end
end
return cjson.encode({ rows = as_list(rows), cursor = cursor, broken = as_list(broken) })
