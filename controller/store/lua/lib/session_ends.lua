-- How a session ends.
-- needs: call_commands collections dials members recordings session_plays transfers

local ENDED_SECONDS = 600 -- for which a late event cannot start it again

-- Nobody has answered the call that an app has made.
local function emit_failed(session, cause, word)
  local uid, before = forget_dial(session)
  local is_cancelled, cancelled_by, found = session.hang_up_job ~= nil, nil, {}
  if is_cancelled then
    found = confirmation("hang_up", session.hang_up_job)
    cancelled_by = forget_call_command(session, "hang_up")
  end
  session.state = step("SESSION", session.state, "failed")
  emit_session(session, "session.failed",
    { cause = word or is_cancelled and "cancelled" or DIAL_CAUSES[cause] or OTHER_DIAL_CAUSE,
      hangup_cause = cause ~= "" and cause or nil, command_uid = uid, cancelled_by = cancelled_by })
  act_for(before)
  return found
end

local function emit_ended(session, cause, is_node_lost)
  local found, uid = {}, nil
  local reason = is_node_lost and "node_lost" or "hangup"
  take_out(session, reason, cause)
  if session.hang_up_job then
    found = confirmation("hang_up", session.hang_up_job)
    uid = forget_call_command(session, "hang_up")
  end
  if session.state == SESSION.transferring then
    transfer_failed(session, is_node_lost and "" or cause, is_node_lost and "node_lost" or "cancelled")
  elseif session.transfer_leg then
    forget_transfer(session)
  end
  interrupt_play(session, true)
  if session.collected then end_collection(session, "hangup") end
  -- Told by an event of its own, before.
  local recording = current_recording(session)
  if recording then recording_ended(recording, { reason = reason }) end
  if session.dtmf_job then call_command_failed(session, "dtmf", reason) end
  session.state = step("SESSION", session.state, "ended")
  local now = math.floor(NOW / 1000)
  emit_session(session, "session.ended",
    { direction = direction_of(session), cause = cause, duration = now - (tonumber(session.started_at) or now),
      command_uid = uid })
  return found
end

-- The call has ended, or will not come about. `cause`: the hangup cause, empty if there is none. `word`: for why nobody
-- answered, in place of that of the cause. Returns what the node has confirmed by that.
local function end_session(session, cause, is_node_lost, word)
  local emit_end = session.state == SESSION.dialing and emit_failed or emit_ended
  local found = emit_end(session, cause, is_node_lost and "node_lost" or word)
  redis.call("ZREM", keys.sessions(session.app), session.id)
  redis.call("SREM", keys.dialled(session.app), session.id)
  redis.call("SREM", keys.node_sessions(session.node), session.id)
  redis.call("DEL", keys.session(session.id))
  redis.call("SET", keys.ended(session.id), 1, "EX", ENDED_SECONDS)
  return found
end
