-- Recordings of rooms and sessions: their records, and how a recording goes from its command to a relay.
--
-- How it works: a recording is stored, `starting`, before its node is told, and the node says when it records and when
-- it has ended. Then its file is on the node, and stays there until the node has put it to a relay (the command
-- `store`), which is tried until it goes through, also when the node has restarted meanwhile. What the relay does with
-- it then is the relay's (recording_stored.lua). Last, the file on the node is removed.
--
-- Its webhooks have an order of their own: they may come long after its room or session is gone.
-- args: quotas?
-- needs: node_commands outbox

local RECORD_MS = 86400000 -- for which a recording is shown that has no file any more
local LOOK_MS = 60000 -- before it is looked again at whether a recording is too long
local REMOVE_MS = 60000 -- within which the node must have removed a file, or is told again
local AWAY_MS = 5000 -- before a file is tried again while its node is away
local FIRST_STORE_MS, MAX_STORE_MS = 1000, 300000 -- before a file is tried again: the double after each failure

local function get_recording(id)
  local recording = get(keys.recording(id))
  if recording then recording.id = id end
  return recording
end

-- The types of the webhooks, of a room's and of a session's.
local TOLD = {
  started = { room = "conference.recording.started", session = "session.recording.started" },
  paused = { room = "conference.recording.paused", session = "session.recording.paused" },
  resumed = { room = "conference.recording.resumed", session = "session.recording.resumed" },
  stopped = { room = "conference.recording.stopped", session = "session.recording.stopped" },
  available = { room = "conference.recording.available", session = "session.recording.available" },
  failed = { room = "conference.recording.failed", session = "session.recording.failed" },
}

-- Emits the webhook about `what` has become of a recording, unless the app has deleted that.
local function emit_recording(recording, what, data)
  if recording.deleted then return end
  data.app_id, data.recording_id, data.room_id = recording.app, recording.id, recording.room
  data.uuid, data.did, data.caller_id = recording.session, recording.did, recording.caller_id
  local ordering_key = (recording.room or recording.session) .. "/" .. recording.id
  emit(keys.recording(recording.id), ordering_key, TOLD[what][recording.room and "room" or "session"], data)
end

-- A recording takes a step, and gets more `fields`.
local function step_recording(recording, event, fields)
  fields = fields or {}
  fields.state = step("RECORDING", recording.state, event)
  change(keys.recording(recording.id), recording, fields)
  log("state", "recording." .. fields.state, { app = recording.app, room = recording.room,
    session = recording.session, recording = recording.id, reason = fields.reason })
end

-- Seconds, from a record's milliseconds; nil if they are not known.
local function seconds_of(ms) return ms and tonumber(ms) / 1000 or nil end

-- What is recorded has one recording at a time: its record, and the key of that.
local function subject_of(recording)
  local key = recording.room and keys.room(recording.room) or keys.session(recording.session)
  return get(key), key
end

-- It goes on no more.
local function free_subject(recording)
  local subject, key = subject_of(recording)
  if subject and subject.recording == recording.id then clear(key, subject, "recording") end
end

-- The file is on its node no more, or never was.
local function left_node(recording)
  confirmed(recording.node, "recording", recording.id)
  redis.call("SREM", keys.node_recordings(recording.node), recording.id)
end

local function forget_recording(recording)
  left_node(recording)
  redis.call("ZREM", keys.recording_ends(), recording.id)
  redis.call("ZREM", keys.recordings(recording.app), recording.id)
  redis.call("DEL", keys.recording(recording.id))
end

-- It has no file any more, nor will have one: it is shown for another while.
local function forget_recording_later(recording)
  redis.call("ZADD", keys.recording_ends(), NOW + RECORD_MS, recording.id)
end

-- Sends a command about a recording, or only about its file. Returns its job id.
local function send_recording(recording, op, fields)
  local command = fields or {}
  command.app, command.recording = recording.app, recording.id
  command.room, command.session, command.node = recording.room, recording.session, recording.node
  return send(recording.node, op, command)
end

-- The node need not keep the file any longer.
local function remove_file(recording)
  expect(recording.node, "removal", recording.id .. " " .. recording.app, REMOVE_MS)
  send_recording(recording, "remove_file")
end

local function fail_recording(recording, reason, data)
  data = data or {}
  data.reason = reason
  free_subject(recording)
  step_recording(recording, "failed", { reason = reason, ended_at = recording.ended_at or NOW })
  emit_recording(recording, "failed", data)
  if recording.deleted then return forget_recording(recording) end
  left_node(recording)
  forget_recording_later(recording)
end

-- Has the node put the file to a relay.
local function send_store(recording)
  change(keys.recording(recording.id), recording, { store_job = send_recording(recording, "store") })
end

-- The quotas of which a new recording takes some.
local RECORDING_QUOTAS = { "recordings", "recording_bytes" }

-- Whether an app's quotas have room for another recording, as far as the script knows them.
local function may_begin(app)
  for _, quota in ipairs(args.quotas and RECORDING_QUOTAS or {}) do
    if used(app, quota) + 1 > args.quotas[quota] then return false end
  end
  return true
end

local function new_recording_id(subject, order)
  return string.sub(redis.sha1hex(table.concat({ tag, order, NOW_US, subject.id }, " ")), 1, 32)
end

-- Begins to record a room or session, the `subject` with its key. `fields`: of the recording. Returns it.
local function begin_recording(subject, key, fields, uid)
  local order = redis.call("INCR", keys.order())
  local recording = { app = subject.app, node = subject.node, state = RECORDING.starting,
    id = new_recording_id(subject, order) }
  change(keys.recording(recording.id), recording, { app = subject.app, node = subject.node, state = recording.state,
    created_at = math.floor(NOW / 1000), channels = 1, seq = 0, uid = uid, actor = origin.actor, trace = origin.trace })
  change(keys.recording(recording.id), recording, fields)
  redis.call("ZADD", keys.recordings(subject.app), order, recording.id)
  redis.call("SADD", keys.node_recordings(subject.node), recording.id)
  change(key, subject, { recording = recording.id })
  log("state", "recording." .. recording.state, { app = recording.app, room = recording.room,
    session = recording.session, recording = recording.id })
  expect(recording.node, "recording", recording.id, CONFIRM_MS + 1)
  local job = send_recording(recording, "record", { channels = tonumber(recording.channels) })
  change(keys.recording(recording.id), recording, { job = job })
  return recording
end

local function begin_room_recording(room, fields, uid)
  fields = fields or {}
  fields.room = room.id
  return begin_recording(room, keys.room(room.id), fields, uid)
end

-- Says that a room which is recorded by itself is not, since the app's quotas have no room. It is not kept: that would
-- use up more of them. It is as if the app had stopped it, so it is said once, and the room goes on.
local function refuse_room_recording(room)
  change(keys.room(room.id), room, { record_stopped = 1 })
  local recording = { app = room.app, room = room.id, id = new_recording_id(room, redis.call("INCR", keys.order())) }
  log("state", "recording." .. RECORDING.failed, { app = room.app, room = room.id, recording = recording.id,
    reason = "quota_exceeded" })
  emit_recording(recording, "failed", { reason = "quota_exceeded" })
  redis.call("DEL", keys.recording(recording.id))
end

-- Begins a recording of a room that is recorded by itself, unless nobody is in it or that was stopped. Where a room
-- moves since its node is lost, what was begun goes on: there the quotas are not known.
local function record_room(room)
  local wants_one = room.record == "1" and not (room.recording or room.record_stopped or room.closing)
  if not wants_one or redis.call("ZCARD", keys.members(room.id)) == 0 then return end
  if not may_begin(room.app) then return refuse_room_recording(room) end
  begin_room_recording(room)
end

-- Of a room that is recorded by itself: as if that had never been stopped.
local function record_anew(room)
  if room.record_stopped then clear(keys.room(room.id), room, "record_stopped") end
  record_room(room)
end

local function send_stop_recording(recording)
  expect(recording.node, "recording", recording.id, CONFIRM_MS + 1)
  send_recording(recording, "stop_recording")
end

local GOES_ON = { [RECORDING.starting] = true, [RECORDING.recording] = true, [RECORDING.paused] = true }

-- Has the node stop, if it has not been told already. While it is not known whether it has begun it is told later.
local function stop_recording(recording, reason, uid)
  if not GOES_ON[recording.state] then return end
  local is_starting = recording.state == RECORDING.starting
  if reason == "asked" and recording.room and redis.call("EXISTS", keys.room(recording.room)) == 1 then
    redis.call("HSET", keys.room(recording.room), "record_stopped", 1)
  end
  step_recording(recording, "stop", { reason = reason, stop_uid = uid, stop_actor = origin.actor,
    stop_trace = origin.trace })
  if is_starting and recording.job then return end
  send_stop_recording(recording)
end

-- The recording that goes on of a room or session, if there is one.
local function current_recording(subject) return subject.recording and get_recording(subject.recording) end

-- On whose behalf it is stopped, or else was begun.
local function recording_origin(recording)
  if recording.stop_actor or recording.stop_trace or recording.stop_uid then
    return { actor = recording.stop_actor, trace = recording.stop_trace }
  end
  return recording
end

-- A pause or resume is over, whatever came of it. Returns its command_uid.
local function forget_change(recording)
  local uid = recording.change_uid
  clear(keys.recording(recording.id), recording, "change", "change_job", "change_uid", "change_actor", "change_trace",
    "change_again")
  return uid
end

-- The node says that it records. It may have been told to be stopped by then.
local function recording_started(recording)
  local is_starting, is_stopping = recording.state == RECORDING.starting, recording.state == RECORDING.stopping
  if recording.started_at or not (is_starting or is_stopping) then return end
  local uid, before = recording.uid, act_for(recording)
  clear(keys.recording(recording.id), recording, "job", "uid")
  if is_starting then step_recording(recording, "started") end
  change(keys.recording(recording.id), recording, { started_at = NOW })
  emit_recording(recording, "started", { channels = tonumber(recording.channels), command_uid = uid })
  act_for(before)
  if is_stopping then return send_stop_recording(recording) end
  -- Then it is looked at whether it is too long (overdue.lua).
  expect(recording.node, "recording", recording.id, LOOK_MS)
end

-- Has the node pause it or resume it: it is to be `paused` or `resumed`.
local function send_recording_change(recording, done, uid)
  local job
  if done == "paused" then
    job = send_recording(recording, "pause_recording")
  else
    job = send_recording(recording, "resume_recording")
  end
  change(keys.recording(recording.id), recording, { change = done, change_job = job, change_uid = uid,
    change_actor = origin.actor, change_trace = origin.trace })
end

-- The node has paused it, or records again.
local function recording_changed(recording, done)
  local is_asked = recording.change == done
  local before = act_for({ actor = is_asked and recording.change_actor, trace = is_asked and recording.change_trace })
  local uid = is_asked and forget_change(recording) or nil
  if recording.state == (done == "paused" and RECORDING.recording or RECORDING.paused) then
    if done == "paused" then step_recording(recording, "paused") else step_recording(recording, "resumed") end
    emit_recording(recording, done, { command_uid = uid })
  end
  act_for(before)
end

-- The node records no more. `found`: the length_ms and size of the file, as far as they are known, and the reason if it
-- was not stopped.
local function recording_ended(recording, found)
  if recording.state ~= RECORDING.stopping and not GOES_ON[recording.state] then return end
  local before = act_for(recording_origin(recording))
  if recording.change then forget_change(recording) end
  -- What a comparison finds to have ended may not have been sent yet. It must not begin now.
  if recording.job then take_command_back(recording.node, recording.job) end
  free_subject(recording)
  local reason, uid = recording.reason or found.reason, recording.stop_uid
  local was_started = recording.started_at ~= nil
  step_recording(recording, "ended", { reason = reason, length_ms = found.length_ms, size = found.size,
    ended_at = NOW, tries = 0 })
  clear(keys.recording(recording.id), recording, "job", "stop_uid")
  confirmed(recording.node, "recording", recording.id)
  if was_started then
    emit_recording(recording, "stopped", { reason = reason, duration = seconds_of(found.length_ms), size = found.size,
      command_uid = uid })
  end
  if recording.deleted then
    remove_file(recording)
    forget_recording(recording)
  else
    send_store(recording)
  end
  local room = reason == "max_length" and recording.room and get_room(recording.room)
  if room then record_room(room) end
  act_for(before)
end

-- The file could not be put to a relay, and is tried again. `is_away`: the node did not try.
local function store_later(recording, is_away)
  local tries = tonumber(recording.tries or 0) + (is_away and 0 or 1)
  change(keys.recording(recording.id), recording, { tries = tries })
  local ms = is_away and AWAY_MS or math.min(FIRST_STORE_MS * 2 ^ (tries - 1), MAX_STORE_MS)
  expect(recording.node, "recording", recording.id, ms)
end

-- Nobody wants the recording any more, and its file is not with a relay: it goes as soon as the node allows.
local function discard_recording(recording)
  change(keys.recording(recording.id), recording, { deleted = 1 })
  if recording.state == RECORDING.storing then
    remove_file(recording)
    return forget_recording(recording)
  end
  stop_recording(recording, "asked")
end
