-- Who is in a room, and how the room ends: its members are kicked, and it stays, `closing`, until the last one is out.
-- needs: endings command_to_all member_webhooks recordings sessions session_plays session_steps room_options kept_out
-- needs: beeps coaching

local MAX_JOINED, MAX_FAILED = 25, 10 -- joins that waited for a leg, which go on or end in a step

-- On whose behalf a member is to be changed.
local function pending_origin(session, change_to)
  return { actor = session[change_to.pending_actor], trace = session[change_to.pending_trace] }
end

-- The reason why a member is out. `cause`: the hangup cause if the call has ended.
local function why_left(session, cause)
  if cause and cause ~= "" then return "hangup" end
  local room = get_room(session.room)
  if room and room.closing then return "room_destroyed" end
  if session.state == SESSION.transferring then return "transferring" end
  return session.state == SESSION.leaving and not session.kicked and "left" or "kicked"
end

-- The command by which a session leaves.
local function leaving_by(session) return session.kicked and "kick" or "leave" end

-- Emits that an accepted command has failed. `session`: the member it was about, if any.
local function emit_command_failed(room, session, command, uid, reason)
  local data = session and member_data(session) or {}
  data.command, data.command_uid, data.reason = command, uid, reason
  if session then return emit_member(room, "conference.command.failed", data, session) end
  emit_room(room, "conference.command.failed", data)
end

-- Ends a pending command to change a member: the node did not carry it out, or no longer can.
local function change_failed(room, session, change_to, reason)
  local uid, operation = session[change_to.pending_uid], session[change_to.pending_operation]
  local before = act_for(pending_origin(session, change_to))
  -- Its failure is told: it must not be carried out any more.
  take_command_back(session.node, session[change_to.pending_job])
  forget_pending(session, change_to)
  if operation ~= LETTING_IN then emit_command_failed(room, session, change_to.command, uid, reason) end
  if reason ~= "no_member" then hold_failed(room, session, change_to) end
  act_for(before)
  member_done(room, session, operation, reason)
end

-- Ends a member's pending commands to change it, in the order in which they were accepted: all, or that of `last_job`
-- and those before it that a worker has taken.
local function changes_failed(room, session, reason, last_job)
  local pending = {}
  for _, change_to in pairs(CHANGES) do
    local job = session[change_to.pending_job]
    local is_left = job and last_job and job ~= last_job
      and (is_earlier(last_job, job) or is_untaken(session.node, job))
    if job and not is_left then pending[#pending + 1] = change_to end
  end
  table.sort(pending, function(one, other)
    return is_earlier(session[one.pending_job], session[other.pending_job])
  end)
  for _, change_to in ipairs(pending) do change_failed(room, session, change_to, reason) end
end

-- Forgets the command to coach, or not to, that is pending. From here on the script acts on behalf of whoever gave it.
-- Returns its command_uid, and the origin before.
local function forget_coach_change(session)
  local uid, before = session.coach_uid, act_for({ actor = session.coach_actor, trace = session.coach_trace })
  clear(keys.session(session.id), session, "coach_change", "coach_uid", "coach_actor", "coach_trace")
  return uid, before
end

-- Ends such a command: the node did not carry it out, or no longer can. Returns which it was.
local function coach_change_failed(room, session, reason)
  local command = session.coach_change
  if not command or command == UNDO then return nil end
  local uid, before = forget_coach_change(session)
  emit_command_failed(room, session, command, uid, reason)
  act_for(before)
  return command
end

-- Forgets to whom the node has yet to relate a coach: it is none any more, or is related anew. Returns who they are.
local function forget_unrelated(session)
  local items = redis.call("HKEYS", keys.unrelated(session.id))
  redis.call("DEL", keys.unrelated(session.id))
  confirmed(session.node, "relate", session.id)
  return items
end

-- These are as a coach is to be related to them, or it is no coach any more.
local function let_hear(room, items)
  for _, item in ipairs(items) do
    local member = get_session(item)
    if member and member.room == room.id then no_coach_heard(member) end
  end
end

-- A session coaches nobody any more.
local function end_coaching(room, session)
  redis.call("SREM", keys.coaches(room.id), session.id)
  clear(keys.session(session.id), session, "coaches", "coaching")
  let_hear(room, forget_unrelated(session))
end

-- A session is out of its room: it coaches nobody there, and no coach waits until it is related to it.
local function leave_coaching(room, session)
  if session.coaches then end_coaching(room, session) end
  each_coach(room, session.node, function(coach)
    local is_awaited = redis.call("HDEL", keys.unrelated(coach.id), session.id) == 1
    if is_awaited then expect(coach.node, "relate", coach.id, 0) end
  end)
end

-- Forgets the command by which a session was to join or leave, or was transferred out.
local function forget_leaving(session)
  clear(keys.session(session.id), session, "kicked", "kick_reason", "kick_operation", "uid", "job", "actor", "trace")
end

-- Forgets what a session has only in a room, or on its way in or out.
local function forget_membership(session)
  local key = keys.session(session.id)
  for name in pairs(FLAGS) do clear(key, session, name) end
  for name in pairs(LEVELS) do clear(key, session, name) end
  clear(key, session, "room", "member_id", "levels", "role", "tags", "end_on_exit", "joined_at", "kept_out", "waiting",
    "coaches", "coaching", "coach_change", "coach_uid", "coach_actor", "coach_trace")
  forget_leaving(session)
end

local end_room

-- Takes a session out of its room in the store, to a state to which a step led, and emits `type` with `data`. `ends`:
-- whether the room ends unless somebody else keeps it.
local function depart(room, session, state, type, data, ends)
  interrupt_play(session, true)
  local before = act_for(session)
  if redis.call("ZREM", keys.members(room.id), session.id) == 1 then count_on_node(room, session, -1) end
  exit_room(room, session)
  redis.call("SREM", keys.speakers(room.id, session.node), session.id)
  if room.floor == session.id then clear(keys.room(room.id), room, "floor") end
  confirmed(session.node, "join", session.id)
  confirmed(session.node, "leave", session.id)
  redis.call("SREM", keys.waiting(room.id), session.id)
  leave_coaching(room, session)
  local member, operation = { id = session.id, tags = session.tags }, session.kick_operation
  local was_waiting = session.waiting
  forget_membership(session)
  set_state(session, state)
  emit_member(room, type, data, member)
  member_done(room, member, operation)
  if was_waiting then let_more_in(room, 1) end
  local was_on_source = session.node == room.node
  local is_empty = redis.call("ZCARD", keys.members(room.id)) == 0
  if type == "conference.member.left" and not was_waiting and not is_empty then beep(room, "beep_exit") end
  if is_empty or was_on_source and is_source_empty(room) then interrupt(room) end
  note_empty(room)
  if ends and not room.closing and not is_kept(room) then
    log("state", "room.ended", { app = room.app, room = room.id, reason = "end_on_exit" })
    end_room(room, "end_on_exit")
  else
    forget_if_over(room)
  end
  act_for(before)
end

-- A member is out of its room. `cause`: the hangup cause. `is_back`: it is in the room again. That a node is lost ends
-- no room: nobody has left it.
local function member_left(room, session, reason, cause, is_back)
  local state = step("SESSION", session.state, "left")
  changes_failed(room, session, "no_member")
  coach_change_failed(room, session, "no_member")
  local data = member_data(session)
  data.command_uid = session.state == SESSION.leaving and session.uid
    or reason == "hangup" and session.hang_up_uid or nil
  data.reason, data.cause = reason, reason == "hangup" and cause or nil
  if reason == "kicked" then
    data.kicked_by, data.kick_reason = session.kicked and "app" or "node", session.kick_reason
  end
  local ends = reason ~= "node_lost" and not is_back and is_kept_by(room, session)
  depart(room, session, state, "conference.member.left", data, ends)
end

-- A session did not join the room that it was to join.
local function join_failed(room, session, reason, cause)
  local state = step("SESSION", session.state, "join_failed")
  local data = member_data(session)
  data.command_uid, data.reason = session.uid, reason
  data.cause = (reason == "hangup" or reason == "bridge_failed") and cause or nil
  depart(room, session, state, "conference.member.join_failed", data)
end

-- Calls `action` with so many of the sessions whose join waits for a leg. They wait no longer; if there are more, the
-- node's worker goes on at once (overdue.lua). Returns how many there were.
local function each_awaiting(room, node, count, action)
  local ids = redis.call("LPOP", keys.awaiting_leg(room.id, node), count) or {}
  for _, id in ipairs(ids) do
    local session = get_session(id)
    local is_waiting_here = session and session.room == room.id and session.state == SESSION.joining and not session.job
    if is_waiting_here then action(session) end
  end
  if #ids == count and redis.call("EXISTS", keys.awaiting_leg(room.id, node)) == 1 then
    expect(node, "leg", room.id, 0)
  end
  return #ids
end

-- Ends so many of the joins that wait for the leg of a node, or for it to be the source. Returns how many.
local function fail_awaiting(room, node, count, reason, cause)
  return each_awaiting(room, node, count, function(session) join_failed(room, session, reason, cause) end)
end

-- Lets those join who waited for the leg of a node, or for it to be the source.
local function join_awaiting(room, node)
  if not room.closing then each_awaiting(room, node, MAX_JOINED, send_join) end
end

-- Why: `deleted`, or what its options say, `empty`, `max_duration` or `end_on_exit`.
function end_room(room, why)
  redis.call("HDEL", keys.names(room.app), room.name)
  redis.call("ZREM", keys.rooms(room.app), room.id)
  list_by(room, tags_of(room), false)
  redis.call("SREM", keys.speaker_rooms(), room.id)
  change(keys.room(room.id), room, { closing = 1 })
  plan_end(room)
  emit_room(room, "conference.destroyed", with_summary(room, { name = room.name, reason = why }))
  if redis.call("SCARD", keys.present(room.id)) > 0 then
    expect(room.node, "close", room.id)
    send(room.node, "stop", { app = room.app, room = room.id })
    local recording = current_recording(room)
    if recording then stop_recording(recording, "room_destroyed") end
    send(room.node, "kick_all", { app = room.app, room = room.id })
    local left = MAX_FAILED - fail_awaiting(room, room.node, MAX_FAILED, "room_destroyed")
    for _, node in ipairs(redis.call("SMEMBERS", keys.legs(room.id))) do
      send(node, "kick_all", { app = room.app, room = room.id })
      if left > 0 then
        left = left - fail_awaiting(room, node, left, "room_destroyed")
      else
        ensure_tended(room, node)
      end
    end
  end
  local all = get(keys.command_to_all(room.id))
  if all then go_on(room, all) end
  end_operations(room, "interrupted")
  forget_if_over(room)
end

-- Takes a session out of the room that the store has it in, whatever its state.
local function take_out(session, reason, cause, is_back)
  if not session.room then return end
  local room = get_room(session.room)
  if not room then
    -- It should be there as long as anybody is in it. Without it there is nothing to emit.
    step_session(session, session.state == SESSION.joining and "join_failed" or "left")
    forget_membership(session)
  elseif session.state == SESSION.joining then
    join_failed(room, session, reason, cause)
  else
    member_left(room, session, reason, cause, is_back)
  end
end
