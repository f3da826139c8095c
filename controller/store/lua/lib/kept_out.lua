-- Who waits for a moderator: in a room with `wait_for_moderator` the others neither hear nor are heard until one has
-- come. And who joins a room in which somebody is coached: it hears no word of the coach (lib/coaching.lua).
--
-- How it works: who is to wait joins muted and deaf, whatever it asked for (`kept_out`), so that it hears no word, and
-- is put on hold at once. There it gets the flags that it asked for. Once the room has begun, those who wait are taken
-- off hold, some at a time: each that is off brings on the next, and where none comes overdue.lua does. Who is taken
-- off hold by another command waits no longer. Where somebody is coached, it gets its flags once no coach can be heard.
-- needs: sessions node_commands beeps coaching

local AT_ONCE = 25 -- members that are let in at a time
local SETTLING = "settling" -- in place of an operation: it is told only if it fails
local LETTING_IN = "letting-in" -- the same: it is told only if it succeeds, and else tried again

-- Whether those who join a room wait for a moderator.
local function waits(room) return room.wait_for_moderator == "1" and not room.begun end

-- Gives a member the flags that it asked for, unless they have been changed since, or it may hear a coach still.
local function settle(session)
  if not session.kept_out or is_unrelated(session) then return end
  clear(keys.session(session.id), session, "kept_out")
  for _, flag in ipairs({ FLAGS.muted, FLAGS.deaf }) do
    local is_on = has_flag(session, flag) or session[flag.on.pending_job]
    if not is_on then send_change(session, flag.off, { operation = SETTLING }) end
  end
end

-- A member no longer hears a coach. One that is to be put on hold gets its flags there.
local function no_coach_heard(session)
  if not session.waiting or has_flag(session, FLAGS.hold) then settle(session) end
end

-- Has a member taken off hold, even one that is not on hold yet: so each is told in the same way. A hold that was sent
-- must have come to something before.
local function let_in(session)
  local hold, unhold = FLAGS.hold.on, FLAGS.hold.off
  if session[hold.pending_job] then
    if not take_command_back(session.node, session[hold.pending_job]) then return end
    forget_pending(session, hold)
  end
  if not session[unhold.pending_job] then send_change(session, unhold, { operation = LETTING_IN }) end
end

-- Lets in so many of those who wait, if the room has begun, and sees that the others follow.
local function let_more_in(room, count)
  if waits(room) or room.closing then return end
  for _, id in ipairs(redis.call("SPOP", keys.waiting(room.id), count)) do
    local session = get_session(id)
    if session and session.room == room.id and session.waiting then let_in(session) end
  end
  if redis.call("EXISTS", keys.waiting(room.id)) == 1 then
    expect(room.node, "let_in", room.id)
  else
    confirmed(room.node, "let_in", room.id)
  end
end

-- A member is a moderator: it waits no longer, and the room has begun.
local function moderator_came(room, session)
  if not room.begun then change(keys.room(room.id), room, { begun = 1 }) end
  if session.waiting then
    redis.call("SREM", keys.waiting(room.id), session.id)
    let_in(session)
  end
  let_more_in(room, AT_ONCE)
end

-- Has a member that was kept out wait, or lets it in if the room has begun meanwhile.
local function wait_or_enter(room, session)
  if not waits(room) then return settle(session) end
  change(keys.session(session.id), session, { waiting = 1 })
  redis.call("SADD", keys.waiting(room.id), session.id)
  send_change(session, FLAGS.hold.on, { url = room.hold_music })
end

-- A member is on hold, or no longer.
local function hold_changed(room, session)
  if not session.waiting then return end
  settle(session)
  if has_flag(session, FLAGS.hold) then
    if not waits(room) then let_in(session) end
  else
    redis.call("SREM", keys.waiting(room.id), session.id)
    clear(keys.session(session.id), session, "waiting")
    beep(room, "beep_enter")
    let_more_in(room, 1)
  end
end

-- A member could not be changed. One that waits and is not put on hold is muted and deaf still.
local function hold_failed(room, session, change_to)
  local is_hold = change_to.command == "hold"
  if not session.waiting or not (is_hold or change_to.command == "unhold") then return end
  if waits(room) then
    if is_hold and session.waiting == "1" then
      change(keys.session(session.id), session, { waiting = 2 })
      send_change(session, change_to, {}) -- without the app's music, which may be why
    end
  elseif is_hold then
    let_in(session)
  else
    redis.call("SADD", keys.waiting(room.id), session.id)
    expect(room.node, "let_in", room.id)
  end
end
