-- What is played to one session, parked or a member of a room, which nobody else hears.
--
-- A session has one operation at most. Its URLs are sent to the node one at a time, each when the one before is over,
-- and the node says of each when it is done (session_file_done.lua). The record is that of a room's operation
-- (lib/playback.lua) with `session` in place of `room`, `uid`, and `tries`: how often the current URL was sent.
-- The session has its id, `play_operation`, and the job ids of the play and of the stop in flight, `play_flight` and
-- `play_stopping`: while there is one, nothing is sent.
--
-- A parked call's node ignores a stop while it is about to begin the file (46), and says all the same that it has done
-- it. So the session has `play_file`, OPERATION:INDEX of what the node was told to play to it and is not done with. A
-- stop of that is over once the node is done with it. Meanwhile `play_stopping` is WAITS, and the stop is sent again
-- (overdue.lua). `play_stops`: how often it was sent.
--
-- A node is told to play in one way to a parked call, and in another to a member. So what is played ends when the call
-- joins or leaves, and a command that no worker has taken is taken back then: one that is sent fits.
-- needs: playback

local WAITS = "waits"
local MAX_TRIES = 3 -- at a file that the node does not get from its relay, and at a stop
local STOP_AGAIN_MS = 300 -- after the result of a stop; a file begins sooner
local MAX_STOPS = 3 -- of one file: of one that waited, and so never begins, no end is told

-- What is played to a session, if anything is.
local function played_to(session) return session.play_operation and read_operation(session.play_operation) end

-- Sends URL `i` of an operation. `tries`: how often it is sent with this time.
local function send_file(session, operation, i, tries)
  local before = act_for(operation)
  local url = url_of(operation.id, i)
  change(keys.operation(operation.id), operation, { tries = tries })
  local job = send(session.node, "session_play", { app = session.app, session = session.id, room = session.room,
    member_id = tonumber(session.member_id), operation = operation.id, index = i, url = url })
  change(keys.session(session.id), session,
    { play_flight = job, play_file = not session.member_id and operation.id .. ":" .. i or nil })
  act_for(before)
end

-- Sends the next URL when nothing is in flight.
local function play_next(session, operation)
  if session.play_flight or session.play_stopping then return end
  local i = tonumber(operation.next)
  if i > tonumber(operation.settled) then return end
  change(keys.operation(operation.id), operation, { next = i + 1, ["u" .. i] = step("URL", URL.pending, "send") })
  send_file(session, operation, i, 1)
end

-- Has the node stop what it plays to a session: as the member that it was, if it was one, when it was told to play.
local function send_session_stop(session, member, tries)
  local job = send(session.node, "session_stop", { app = session.app, session = session.id, room = member.room,
    member_id = tonumber(member.member_id), tries = tries })
  change(keys.session(session.id), session, { play_stopping = job })
end

-- The node says that it has stopped what it plays, as it was told for the `tries`th time. If it is not done with the
-- file, it is told once more soon.
local function await_end(session, tries)
  if not session.play_file or tries >= MAX_STOPS then return end
  change(keys.session(session.id), session, { play_stopping = WAITS, play_stops = tries })
  expect(session.node, "session_stop", session.id, STOP_AGAIN_MS)
end

-- The node plays no file to a parked call, or not the one that it was told to.
local function file_is_over(session)
  if not session.play_file then return end
  clear(keys.session(session.id), session, "play_file", "play_stops")
  if session.play_stopping ~= WAITS then return end
  clear(keys.session(session.id), session, "play_stopping")
  confirmed(session.node, "session_stop", session.id)
end

local function forget_played(session, operation)
  clear(keys.session(session.id), session, "play_operation")
  forget_operation(session.app, operation.id, operation.bytes)
end

-- Emits the end of what is played to a session: `interrupted`, or what became of its URLs.
local function finish_play(session, operation, how)
  local before = act_for(operation)
  local status, results = summary(operation, how)
  emit_session(session, "session.play.finished",
    { operation_id = operation.id, status = status, command_uid = operation.uid }, results)
  forget_played(session, operation)
  act_for(before)
end

-- URL `i`, which is current, is over by `event`: `finish`, or `fail` with the reason `why`.
local function session_file_over(session, operation, i, event, why)
  local state = step("URL", url_state(operation, i), event)
  change(keys.operation(operation.id), operation,
    { ["u" .. i] = why and state .. ":" .. why or state, settled = operation.settled + 1 })
  log("state", "url." .. state, { app = session.app, session = session.id, operation = operation.id, index = i,
    reason = why and (reason_of(why)) })
  if i + 1 == tonumber(operation.total) then return finish_play(session, operation) end
  play_next(session, operation)
end

-- Takes back a play that no worker has taken yet, and has the node stop what it plays. What it was sent, and has not
-- answered, is stopped once it has.
local function silence(session)
  if not session.play_flight then return send_session_stop(session, session) end
  if take_command_back(session.node, session.play_flight) then
    clear(keys.session(session.id), session, "play_flight")
    file_is_over(session)
  end
end

-- Ends what is played to a session, which nobody hears any more. `is_over`: the node has ended it by itself.
local function interrupt_play(session, is_over)
  if is_over then file_is_over(session) end
  local operation = played_to(session)
  if not operation then return end
  if session.play_flight or not (is_over or session.play_stopping) then silence(session) end
  finish_play(session, operation, "interrupted")
end
