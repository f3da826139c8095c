-- What the result of a command means for the session or room that it was about.
--
-- `command` is as it was sent. `result` is { ok, reason, text, http_status, paused }. The reason is no_members (the
-- node has no such conference), no_member, hangup, unplayable, not_playing, refused (`text` is what the node said),
-- node_unreachable (it never got the command), no_answer (it is not known whether it did anything), not_confirmed (it
-- took the command, and no event confirmed it), relay_lost (it did not get a file that a relay had prepared), or why a
-- relay could not prepare a file (controller/media/reasons.py).
-- needs: call_commands coach_changes hang_ups leg_changes members playback recordings session_ends session_plays
-- needs: transfers

-- By the command's op.
local RESULTS = {}

-- The room and session of a command, if `field` of the session says that it waits for the result of this very job.
local function waiting(command, field, job)
  local session = get_session(command.session)
  local room = session and session.room == command.room and get_room(command.room)
  if room and session[field] == job then return room, session end
end

function RESULTS.join(command, job, result)
  local room, session = waiting(command, "job", job)
  if room and session.state == SESSION.joining and not result.ok then join_failed(room, session, result.reason) end
end

function RESULTS.kick(command, job, result)
  local room, session = waiting(command, "job", job)
  if not room or result.ok or session.state ~= SESSION.leaving then return end
  if result.reason == "no_members" or result.reason == "no_member" then
    return member_left(room, session, session.kicked and "kicked" or "left")
  end
  confirmed(session.node, "leave", session.id)
  local uid, by, operation = session.uid, leaving_by(session), session.kick_operation
  step_session(session, "leave_failed")
  forget_leaving(session)
  emit_command_failed(room, session, by, uid, result.reason)
  member_done(room, session, operation, result.reason)
end

function RESULTS.hang_up(command, job, result)
  local session = get_session(command.session)
  if not session or session.hang_up_job ~= job or result.ok then return end
  -- That a call is gone already is told by its end, or found by the comparison.
  if result.reason == "hangup" then return retry_hang_up(session) end
  call_command_failed(session, "hang_up", result.reason)
end

function RESULTS.dtmf(command, job, result)
  local session = get_session(command.session)
  if not session or session.dtmf_job ~= job then return end
  if not result.ok then return call_command_failed(session, "dtmf", result.reason) end
  local uid = forget_call_command(session, "dtmf")
  emit_session(session, "session.dtmf.sent", { length = #command.digits, command_uid = uid })
end

function RESULTS.dial(command, job, result)
  local session = get_session(command.session)
  if not session or session.dial_job ~= job or result.ok then return end
  -- Whether there is a call of which nothing is known is found by the comparison, or told by its events.
  if result.reason == "no_answer" then return end
  -- The node says why as `-ERR USER_BUSY`.
  local cause = string.match(result.text or "", "^%-ERR ([%u%d_]+)$") or ""
  end_session(session, cause, nil, result.reason == "node_unreachable" and "node_unreachable" or nil)
end

function RESULTS.transfer(command, job, result)
  local session = get_session(command.session)
  if not session or session.transfer_job ~= job or result.ok then return end
  -- That the call is gone is told by its end. Whether it was connected is told by events, or found by the comparison.
  if result.reason == "hangup" or result.reason == "no_answer" then return end
  transfer_failed(session, "", result.reason == "node_unreachable" and "node_unreachable" or nil)
end

for op, change_to in pairs(CHANGES) do
  RESULTS[op] = function(command, job, result)
    if result.ok then return end
    local room, session = waiting(command, change_to.pending_job, job)
    if not room then return end
    -- When this result is lost, so is what the node said of the commands before it.
    if result.reason == "no_answer" then return changes_failed(room, session, result.reason, job) end
    change_failed(room, session, change_to, result.reason)
  end
end

function RESULTS.relate(command, job, result)
  local session, room = get_session(command.session), get_room(command.room)
  local is_coach = room and session and session.room == room.id and session.coaches
  if is_coach then related(room, session, command, job, result) end
end

-- Reasons for which the node did not carry a play out.
local OF_COMMAND = { refused = true, no_answer = true, node_unreachable = true }

-- Reasons for which nobody can hear it.
local GONE = { hangup = true, no_member = true, no_members = true }

function RESULTS.play(command, job, result)
  local room = get_room(command.room)
  if not room or room.flight ~= job then return end
  clear(keys.room(room.id), room, "flight")
  local operation = get_operation(command.operation)
  if result.reason == "relay_lost" then
    local tries = command.tries or 1
    -- Prepared anew, it waits in the stream as it did before: a stop takes it back.
    if operation and tries < MAX_TRIES then return send_play(room, operation.id, command.index, tries + 1) end
    result.reason = "unplayable"
  end
  if result.ok and not operation then
    -- Stopped or interrupted while the node still fetched it: it must not be heard now.
    stop_playback(room)
  elseif result.ok then
    if url_state(operation, command.index) == URL.sent then url_queued(operation, command.index) end
    fix_volume(room)
    local playing, i = head(room)
    local is_next = playing and playing.id == operation.id and i == command.index
    if is_next and room.status == PLAYBACK.paused then send_pause(room) end
  elseif operation then
    local last = command.index
    if result.reason == "no_members" then last = tonumber(operation.total) - 1 end
    if OF_COMMAND[result.reason] then emit_command_failed(room, nil, "play", nil, result.reason) end
    change(keys.operation(operation.id), operation, { next = last + 1 })
    local indices = {}
    for i = command.index, last do indices[#indices + 1] = i end
    local status = result.http_status and ":" .. result.http_status or ""
    end_urls(room, operation, indices, "fail", result.reason .. status)
  end
  advance(room)
end

function RESULTS.session_play(command, job, result)
  local session = get_session(command.session)
  if not session or session.play_flight ~= job then return end
  clear(keys.session(session.id), session, "play_flight")
  if not result.ok and result.reason ~= "no_answer" then file_is_over(session) end
  local operation = session.play_operation == command.operation and played_to(session)
  if not operation then
    -- Stopped or interrupted meanwhile: it must not be heard now.
    if result.ok or result.reason == "no_answer" then send_session_stop(session, command) end
    operation = played_to(session)
    return operation and play_next(session, operation)
  end
  -- Its end was known first.
  if OVER[url_state(operation, command.index)] then return play_next(session, operation) end
  if result.ok then return end
  if result.reason == "relay_lost" then
    if tonumber(operation.tries) < MAX_TRIES then
      return send_file(session, operation, command.index, operation.tries + 1)
    end
    result.reason = "unplayable"
  end
  -- It has left its room, or the call has ended.
  if GONE[result.reason] then return interrupt_play(session, true) end
  if OF_COMMAND[result.reason] then
    emit_session(session, "session.command.failed",
      { command = "play", command_uid = operation.uid, reason = result.reason })
  end
  if result.reason == "no_answer" then send_session_stop(session, command) end
  local status = result.http_status and ":" .. result.http_status or ""
  session_file_over(session, operation, command.index, "fail", result.reason .. status)
end

function RESULTS.session_stop(command, job, result)
  local session = get_session(command.session)
  if not session or session.play_stopping ~= job then return end
  clear(keys.session(session.id), session, "play_stopping")
  local tries = command.tries or 1
  local is_lost = result.reason == "no_answer" or result.reason == "node_unreachable"
  if is_lost and tries < MAX_TRIES then return send_session_stop(session, command, tries + 1) end
  if result.ok or is_lost then await_end(session, tries) else file_is_over(session) end
  local operation = played_to(session)
  if operation then play_next(session, operation) end
end

function RESULTS.stop(command, job)
  local room = get_room(command.room)
  if not room or room.stopping ~= job then return end
  clear(keys.room(room.id), room, "stopping")
  advance(room)
end

function RESULTS.pause(command, job, result)
  local room = get_room(command.room)
  if not room or room.operation ~= command.operation or room.pause_job ~= job then return end
  if result.reason == "no_answer" then
    -- Only another toggle shows whether it is paused now.
    send_pause(room)
  elseif not result.ok then
    step_playback(room, command.paused and "resume" or "pause", room.operation)
    emit_command_failed(room, nil, "pause", nil, result.reason)
  elseif result.paused ~= nil and result.paused ~= command.paused then
    if not command.again then return send_pause(room, true) end
    -- Two toggles ended the wrong way: from now on the state is what the node says.
    step_playback(room, result.paused and "pause" or "resume", room.operation)
    emit_room(room, "conference.play.paused", { operation_id = room.operation, paused = result.paused })
  end
end

function RESULTS.volume(command, _, result)
  if result.reason ~= "no_answer" and result.reason ~= "node_unreachable" then return end
  local room = get_room(command.room)
  if not room then return end
  local operation, i = head(room)
  if not operation or operation["v" .. i] ~= tostring(command.volume) then return end
  -- The volume may be as before, and setting it twice does no harm.
  change(keys.operation(operation.id), operation, { ["v" .. i] = "" })
  fix_volume(room)
end

-- The room and leg of a command about one, unless the leg has been dialled anew since.
local function leg_of(command)
  local room = get_room(command.room)
  local leg = room and get_leg(room, command.node)
  if leg and leg.id == command.leg and leg.state == LEG.dialing then return room, leg end
end

function RESULTS.announce_leg(command, _, result)
  local room, leg = leg_of(command)
  if not leg then return end
  if not result.ok then return leg_lost(room, leg, "fail", result.reason) end
  send(leg.node, "dial_leg", { app = room.app, room = room.id, leg = leg.id, node = leg.node, source = room.node })
end

function RESULTS.dial_leg(command, _, result)
  local room, leg = leg_of(command)
  -- The node says why as `-ERR USER_BUSY`.
  local cause = string.match(result.text or "", "^%-ERR ([%u%d_]+)$")
  if leg and not result.ok then leg_lost(room, leg, "fail", cause or result.reason) end
end

function RESULTS.record(command, job, result)
  local recording = get_recording(command.recording)
  if not recording or recording.job ~= job then return end
  -- That of a room is confirmed by an event, once the file is open.
  if result.ok then return recording.session and recording_started(recording) end
  if result.reason ~= "no_answer" then
    return fail_recording(recording, result.reason, { command_uid = recording.uid })
  end
  -- It may record. What there is of it is kept.
  clear(keys.recording(recording.id), recording, "job")
  if recording.state == RECORDING.stopping then return send_stop_recording(recording) end
  stop_recording(recording, result.reason)
end

-- Reasons for which the node records no more, or will have told so in a moment.
local NO_MORE = { no_recording = true, no_members = true, hangup = true }

function RESULTS.stop_recording(command, _, result)
  local recording = command.recording and get_recording(command.recording)
  if not recording or recording.state ~= RECORDING.stopping or not NO_MORE[result.reason] then return end
  change(keys.recording(recording.id), recording, { is_over = 1 })
  expect(recording.node, "recording", recording.id, LATE_MS)
end

local function recording_change(command, job, result)
  local recording = get_recording(command.recording)
  if not recording or recording.change_job ~= job then return end
  local done = recording.change
  if result.ok then return recording_changed(recording, done) end
  if result.reason == "no_answer" and not recording.change_again then
    -- The node may have done it. To do it twice does no harm.
    send_recording_change(recording, done, recording.change_uid)
    return change(keys.recording(recording.id), recording, { change_again = 1 })
  end
  local uid = forget_change(recording)
  local data = { command = command.op, recording_id = recording.id, command_uid = uid, reason = result.reason }
  local subject = subject_of(recording)
  if not subject then return end
  subject.id = recording.room or recording.session
  if recording.room then return emit_room(subject, "conference.command.failed", data) end
  emit_session(subject, "session.command.failed", data)
end

RESULTS.pause_recording, RESULTS.resume_recording = recording_change, recording_change

-- Reasons for which the node has not tried.
local AWAY = { node_unreachable = true, no_answer = true, relay_failed = true }

function RESULTS.store(command, job, result)
  local recording = get_recording(command.recording)
  if not recording or recording.state ~= RECORDING.storing then
    -- A relay has it, or nobody wants it.
    local file = { id = command.recording, app = command.app, node = command.node, room = command.room,
      session = command.session }
    left_node(file)
    return remove_file(file)
  end
  if recording.store_job ~= job then return end
  if AWAY[result.reason] then return store_later(recording, true) end
  -- The node does not tell why (41): there may be no such file.
  change(keys.recording(recording.id), recording, { store_job = send_recording(recording, "find_file") })
end

function RESULTS.find_file(command, job, result)
  local recording = get_recording(command.recording)
  if not recording or recording.store_job ~= job then return end
  if result.reason == "no_file" then return fail_recording(recording, "file_lost") end
  store_later(recording, AWAY[result.reason])
end

function RESULTS.remove_file(command, _, result)
  -- The node cannot tell whether it has done it (41).
  if AWAY[result.reason] then return end
  confirmed(command.node, "removal", command.recording .. " " .. command.app)
end

function RESULTS.beep(command, _, result) beep_done(command, result) end

-- Sent when a room is deleted. If it fails, overdue.lua takes the members out, and playback and recording end then.
local function ignore() end
RESULTS.kick_all = ignore
-- Sent when a leg ends. One that is left is found by the comparison.
RESULTS.hang_up_leg, RESULTS.withdraw_leg = ignore, ignore
-- Sent when a number has not answered in time. If there is no call to it, the comparison finds that.
RESULTS.end_transfer = ignore

local function apply_result(command, job, result)
  log_answer(command, job, result)
  local apply = RESULTS[command.op]
  if apply then apply(command, job, result) end
end
