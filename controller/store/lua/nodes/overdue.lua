-- Handles what should have had a result or a confirmation by now. Replies { load, calls, late, more, speaker_rooms }:
-- how many sessions and rooms there are, how many are sessions, whether something is late, so that its event may be
-- lost, whether more is overdue, and the rooms on the node of which it is told who speaks in them.
-- `recordings`: how long a recording may be (max_ms), and how long its file may wait on its node (give_up_ms).
-- args: node recordings
-- needs: collections move node_fence records results
-- lists: speaker_rooms

local MAX_PART = 10 -- handled at a time, of what is overdue and of a room's members
local MAX_SECONDS = 0.002 -- of the server's CPU, after which what else is overdue waits for the next step
local MAX_LOOKED_AT = 100 -- at a time, of what may be late

-- By the kind of what was expected.
local OVERDUE = {}

function OVERDUE.job(job)
  local raw = redis.call("HGET", keys.sent(args.node), job)
  local reason = "no_answer"
  if raw then
    redis.call("HDEL", keys.sent(args.node), job)
  else
    local entry = entry_of_job(job)
    local found = redis.call("XRANGE", keys.commands(args.node), entry, entry)[1]
    if not found then return end
    redis.call("XDEL", keys.commands(args.node), entry)
    raw, reason = found[2][2], "node_unreachable"
  end
  apply_result(cjson.decode(raw), job, { ok = false, reason = reason })
end

function OVERDUE.join(id)
  local session = get_session(id)
  if not session or session.state ~= SESSION.joining then return end
  -- Without a job it still waits for the leg.
  local room = get_room(session.room)
  local leg = room and not session.job and get_leg(room, session.node)
  if leg then take_out(session, "bridge_failed", leg.reason) else take_out(session, "not_confirmed") end
end

function OVERDUE.leave(id)
  local session = get_session(id)
  if session and session.state == SESSION.leaving then
    act_for(session)
    RESULTS.kick({ session = id, room = session.room }, session.job, { ok = false, reason = "not_confirmed" })
  end
end

function OVERDUE.hang_up(id)
  local session = get_session(id)
  if not session or not session.hang_up_job or is_hung_up_again(session) then return end
  call_command_failed(session, "hang_up", "not_confirmed")
end

-- The node should have given up. If it has, and that was missed, the comparison finds that there is no such call.
function OVERDUE.dial(id)
  local session = get_session(id)
  if not session or session.state ~= SESSION.dialing then return end
  expect(session.node, "dial", id)
  send(session.node, "hang_up", { app = session.app, session = id, cause = "NO_ANSWER" })
end

-- The node should have given up, and the call be parked. As above.
function OVERDUE.transfer(id)
  local session = get_session(id)
  if not session or session.state ~= SESSION.transferring then return end
  expect(session.node, "transfer", id)
  send(session.node, "end_transfer", { app = session.app, session = id, leg = session.transfer_leg })
end

-- The node is not done with what it was told to stop. A call that moves is played to no more.
function OVERDUE.session_stop(id)
  local session = get_session(id)
  if not session or session.play_stopping ~= WAITS then return end
  local is_parked = session.state == SESSION.parked or session.state == SESSION.joining and not session.job
  if is_parked then return send_session_stop(session, {}, session.play_stops + 1) end
  file_is_over(session)
end

function OVERDUE.digits(id)
  local session = get_session(id)
  if session and session.collected then end_collection(session, "timeout") end
end

for command, change_to in pairs(CHANGES) do
  OVERDUE[command] = function(id)
    local session = get_session(id)
    local room = session and session.room and get_room(session.room)
    local job = session and session[change_to.pending_job]
    if room and job then changes_failed(room, session, "not_confirmed", job) end
  end
end

function OVERDUE.close(id)
  local room = get_room(id)
  if not room then return end
  for _, member in ipairs(redis.call("SRANDMEMBER", keys.present(id), MAX_PART)) do
    try(member, function()
      local session = get_session(member)
      if session and session.room == id then take_out(session, "room_destroyed") end
    end)
    redis.call("SREM", keys.present(id), member) -- also one that cannot be taken out, or is in another room
  end
  if redis.call("SCARD", keys.present(id)) > 0 then
    redis.call("ZADD", keys.due(args.node), NOW, "close:" .. id)
  else
    forget_if_over(room)
  end
end

function OVERDUE.leg(id)
  local room = get_room(id)
  if not room then return end
  if room.node ~= args.node then
    local leg = get_leg(room, args.node)
    if leg then tend_leg(room, leg) end
  elseif room.closing then
    fail_awaiting(room, args.node, MAX_FAILED, "room_destroyed")
  else
    join_awaiting(room, args.node)
  end
end

function OVERDUE.ending(id)
  local room = get_room(id)
  if room then emit_endings(room) end
end

function OVERDUE.expiry(id)
  local room = get_room(id)
  if not room or room.closing or room.node ~= args.node then return end
  local at, why = next_end(room)
  if at and at <= NOW then
    log("state", "room.ended", { app = room.app, room = room.id, reason = why })
    end_room(room, why)
  else
    plan_end(room)
  end
end

function OVERDUE.let_in(id)
  local room = get_room(id)
  if room then let_more_in(room, AT_ONCE) end
end

function OVERDUE.relate(id)
  local session = get_session(id)
  local room = session and session.coaches and session.room and get_room(session.room)
  if room then relate_again(room, session) end
end

function OVERDUE.all(id)
  local room = get_room(id)
  if room then bring_on(room) end
end

-- By a recording's state: what is done about one that should have gone on, or is to be looked at.
local TEND = {}

function TEND.starting(recording)
  clear(keys.recording(recording.id), recording, "job")
  stop_recording(recording, "not_confirmed")
end

function TEND.recording(recording)
  local left = tonumber(recording.started_at) + args.recordings.max_ms - NOW
  if left <= 0 then return stop_recording(recording, "max_length") end
  expect(recording.node, "recording", recording.id, math.min(left, LOOK_MS))
end

TEND.paused = TEND.recording

function TEND.stopping(recording)
  if recording.is_over then return recording_ended(recording, {}) end
  send_stop_recording(recording)
end

function TEND.storing(recording)
  if NOW - tonumber(recording.ended_at) < args.recordings.give_up_ms then return send_store(recording) end
  fail_recording(recording, is_reached(recording.node) and "not_stored" or "node_lost")
end

function OVERDUE.recording(id)
  local recording = get_recording(id)
  local tend = recording and recording.node == args.node and TEND[recording.state]
  if not tend then return end
  act_for(recording)
  tend(recording)
end

function OVERDUE.removal(file)
  local id, app = string.match(file, "^(%x+) (.+)$")
  remove_file({ id = id, app = app, node = args.node })
end

local function parse(item) return string.match(item, "^([%a_]+):(.+)$") end

local function handle(item)
  local kind, id = parse(item)
  local handle_kind = OVERDUE[kind] or error("there is no such kind")
  handle_kind(id)
end

-- What is due until then may be late.
local function latest() return NOW + CONFIRM_MS - LATE_MS end

-- Whether the node should have confirmed it. Not so a room's end, a leg that waits to be dialled, or to go, the
-- digits that a caller is to press, what is done to all members, the relations of a coach, a recording that goes on,
-- and its file: each of them has an item of its own. Nor is it so of a stop, which is sent again soon.
local OF_NO_NODE =
  { expiry = true, all = true, digits = true, let_in = true, relate = true, removal = true, session_stop = true }

local function is_to_confirm(item)
  local kind, id = parse(item)
  if kind == "leg" then return redis.call("HGET", keys.leg(id, args.node), "state") == LEG.dialing end
  if kind == "recording" then
    local state = redis.call("HGET", keys.recording(id), "state")
    return state == RECORDING.starting or state == RECORDING.stopping
  end
  return not OF_NO_NODE[kind]
end

local function is_late()
  local items = redis.call("ZRANGEBYSCORE", keys.due(args.node), "-inf", latest(), "LIMIT", 0, MAX_LOOKED_AT)
  for _, item in ipairs(items) do
    if is_to_confirm(item) then return true end
  end
  return false
end

-- Adds to `fields` how much there is on the node.
local function with_load(fields)
  fields.calls = redis.call("SCARD", keys.node_sessions(args.node))
  fields.load = fields.calls + redis.call("SCARD", keys.node_rooms(args.node))
  fields.speaker_rooms = as_list(redis.call("SINTER", keys.speaker_rooms(), keys.node_rooms(args.node)))
  return fields
end

if fenced() then return refusal("fenced") end
if redis.call("ZCOUNT", keys.due(args.node), "-inf", latest()) == 0 then
  return cjson.encode(with_load({ more = false, late = false }))
end
local items = redis.call("ZRANGEBYSCORE", keys.due(args.node), "-inf", NOW, "LIMIT", 0, MAX_PART)
local begun = os.clock()
for _, item in ipairs(items) do
  redis.call("ZREM", keys.due(args.node), item)
  try(item, handle, item)
  if os.clock() - begun > MAX_SECONDS then break end
end
return reply(with_load({ broken = as_list(broken), late = is_late(),
  more = redis.call("ZCOUNT", keys.due(args.node), "-inf", NOW) > 0 }))
