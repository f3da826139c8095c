-- What the store has of a node in this partition, for the comparison with the node itself: a part of its sessions,
-- rooms or recordings (`what`). `cursor`: "0" at first, and again in the last reply. `head` of a room: the file that it
-- plays now or next; `legs`: those of the room on this node. Of a session, `is_waiting`: the node is yet to be told to
-- make it; `transfer`: the uuid of the call to the number to which it is transferred, if the node has been told;
-- `played`: the file that the node should be playing to it; `coaches`: by whom alone it is to be heard. The ids of
-- those that cannot be read are in `broken`.
-- args: node what cursor
-- needs: dial_commands legs node_fence playback recordings records session_plays sessions
-- lists: rows

local PART = 100

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

local INDEX = { rooms = keys.node_rooms, sessions = keys.node_sessions, recordings = keys.node_recordings }
local READ = {}

-- What the node should be playing to a session now.
local function describe_played(session)
  local operation = not (session.play_flight or session.play_stopping) and played_to(session)
  return operation and { operation = operation.id, index = operation.next - 1 } or nil
end

-- Whom a session coaches, once the node has been told all that this takes.
local function describe_coached(session)
  if not session.coaches or session.coach_change then return nil end
  return redis.call("EXISTS", keys.unrelated(session.id)) == 0 and session.coaches or nil
end

function READ.sessions(id)
  local session = get_session(id)
  return session and with_flags(session, { id = id, channel = name_in(session, "channel"),
    app = text_in(session, "app"), room = session.room, state = text_in(session, "state"),
    is_waiting = is_dial_waiting(session) or nil, kept_out = session.kept_out ~= nil or nil,
    played = describe_played(session), coaches = describe_coached(session),
    transfer = is_transfer_sent(session) and name_in(session, "transfer_leg") or nil,
    member_id = session.member_id and number_in(session, "member_id", 10) })
end

-- The legs that a room has on this node: all if it is their source, else its own.
local function describe_legs(room)
  local legs = {}
  for _, leg in ipairs(legs_of(room)) do
    local side = args.node == room.node and leg.far or args.node == leg.node and leg.near
    if side and leg.state ~= LEG.down and not is_left_behind(room, leg) then
      legs[#legs + 1] = { id = name_in(leg, "id"), room = room.id, member_id = tonumber(side) }
    end
  end
  return as_list(legs)
end

function READ.rooms(id)
  local room = get_room(id)
  if not room then return nil end
  local described = { id = name_in(room, "id"), app = text_in(room, "app"), closing = room.closing ~= nil,
    occupied = redis.call("EXISTS", keys.members(id)) == 1, operation = "", stopping = false,
    legs = describe_legs(room) }
  if room.node ~= args.node then
    count_anew(room, args.node)
  else
    described.operation, described.stopping = text_in(room, "operation"), room.stopping ~= nil
    described.head = describe_head(room)
  end
  return described
end

-- The channel is that of the call that is recorded, if it is a call's.
function READ.recordings(id)
  local recording = get_recording(id)
  if not recording then return nil end
  local session = recording.session and get_session(recording.session)
  return { id = name_in({ id = id }, "id"), app = text_in(recording, "app"), state = text_in(recording, "state"),
    room = recording.room, channel = session and name_in(session, "channel") or nil }
end

if fenced() then return refusal("fenced") end
local rows = {}
local cursor, ids = unpack(redis.call("SSCAN", INDEX[args.what](args.node), args.cursor, "COUNT", PART))
for _, id in ipairs(ids) do
  local succeeded, row = try(id, READ[args.what], id)
  if succeeded then rows[#rows + 1] = row end
end
return cjson.encode({ rows = as_list(rows), cursor = cursor, broken = as_list(broken) })
