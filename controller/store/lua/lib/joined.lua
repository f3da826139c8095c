-- How a session becomes a member of a room.
-- args: node
-- needs: dials recordings room_options session_plays transfers kept_out coaching beeps

-- The node says that it is in a room, by a command or its operator's hand. `as`: its room_id, its member_id, and those
-- of its flags that are on. `room`: the record, if it is read already. Returns the fields of the reply.
local function session_joined(session, as, room)
  local room_id, member_id = as.room_id, as.member_id
  -- That it was answered was missed.
  if session.state == SESSION.dialing then dial_answered(session) end
  room = room or get_room(room_id)
  local same_room = session.room == room_id
  local is_joining = session.state == SESSION.joining
  if same_room then act_for(session) end
  log("event", "add-member", { app = session.app, room = room_id, session = session.id, member_id = member_id })
  if same_room and not is_joining and session.member_id == tostring(member_id) then
    return { known = true }
  end
  -- If it was not asked to, its operator has moved it.
  interrupt_play(session, true)
  if session.room and (not same_room or not is_joining) then take_out(session, "kicked", nil, same_room) end
  -- Its operator has moved it.
  if session.transfer_leg then transfer_failed(session, "") end
  if not room or room.closing or room.app ~= session.app then
    -- The room is deleted or is another app's: the member is taken out again.
    if room and session.room then join_failed(room, session, "room_destroyed") end
    send(args.node, "kick", { app = session.app, room = room_id, session = session.id, member_id = member_id })
    return { stray = true }
  end
  local state = step("SESSION", session.state, "joined")
  local uid, found, levels = session.uid, confirmation("join", session.job), cjson.decode(session.levels or "[]")
  enter_room(room, session)
  if session.node ~= room.node and not get_leg(room, session.node) then
    dial_leg(room, add_leg(room, session.node, session.channel))
  end
  redis.call("ZADD", keys.members(room.id), redis.call("HINCRBY", keys.room(room.id), "members_seen", 1), session.id)
  count_on_node(room, session, 1)
  local count = redis.call("ZCARD", keys.members(room.id))
  note_members(room, count)
  plan_end(room)
  if is_joining then
    confirmed(session.node, "join", session.id)
    clear(keys.session(session.id), session, "uid", "job", "actor", "trace", "levels")
  end
  local fields = { room = room.id, member_id = member_id, joined_at = math.floor(NOW / 1000) }
  -- One that is kept out has the flags that it asked for: those of the node are on for that.
  set_state(session, state, session.kept_out and fields or turn_on(fields, as.flags))
  relate_to(room, session.node, session.id)
  if role_of(session) == "moderator" then moderator_came(room, session) end
  if session.kept_out then wait_or_enter(room, session) end
  if not is_waiting(session) then beep(room, "beep_enter") end
  local data = member_data(session)
  data.command_uid = uid
  emit_member(room, "conference.member.joined", data, session)
  -- The node knows no levels to join with.
  for _, pair in ipairs(levels) do
    local name, value = unpack(pair)
    if value ~= 0 then send_change(session, LEVELS[name], { uid = uid, value = value }) end
  end
  if count == 1 then record_anew(room) end
  return found
end
