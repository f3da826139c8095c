-- How a session joins a room.
-- needs: legs session_plays session_steps sessions room_options kept_out

-- Why a room may not be joined now, and the limit and what is used of it if it is full.
local function why_not_open(room)
  if is_locked(room) then return "room_locked" end
  local most, present = option(room, "max_members"), redis.call("SCARD", keys.present(room.id))
  if most and present >= most then return "room_full", { limit = most, used = present } end
end

-- Begins a join, with more `fields` of the session. If the room is on another node, the session waits until there is a
-- leg, which is dialled at once if the source is known to be up.
local function begin_join(session, room, fields, flags, is_source_up)
  interrupt_play(session)
  local has_coach = redis.call("EXISTS", keys.coaches(room.id)) == 1
  if has_coach or waits(room) and fields.role ~= "moderator" then fields.kept_out = 1 end
  step_session(session, "join", turn_on(fields, flags))
  enter_room(room, session)
  local leg = session.node ~= room.node and get_leg(room, session.node)
  if session.node == room.node or leg and leg.state == LEG.connected then return send_join(session) end
  expect(session.node, "join", session.id, LEG_MS + CONFIRM_MS)
  redis.call("RPUSH", keys.awaiting_leg(room.id, session.node), session.id)
  if not leg then
    leg = add_leg(room, session.node, session.channel)
    if is_source_up then dial_leg(room, leg) end
  end
  ensure_tended(room, leg.node)
end
