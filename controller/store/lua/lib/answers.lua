-- What a command's answer means. c: the command as sent; a: { ok, reason, text, paused }.
-- reason: no_members (the node has no such conference), no_member, hangup, unplayable, not_playing, refused (`text` is
-- what the node said), node_unreachable (it never got the command), no_answer (whether it did anything is not known).

local ANSWERS = {}

-- The session and room that a command was about, if the session is still in that state because of this very job.
local function waiting(c, field, job)
  local s = get_session(c.session)
  local r = s and s.room == c.room and get_room(c.room)
  if r and s[field] == job then return r, s end
end

function ANSWERS.join(c, job, a)
  local r, s = waiting(c, "job", job)
  if r and s.state == "joining" and not a.ok then join_failed(r, s, a.reason) end
end

function ANSWERS.kick(c, job, a)
  local r, s = waiting(c, "job", job)
  if not r or a.ok or s.state ~= "leaving" then return end
  if a.reason == "no_members" or a.reason == "no_member" then return leave(r, s, "left") end
  settled(s.node, "leave", s.id)
  local uid = s.uid
  clear(keys.session(s.id), s, "uid", "job")
  set_state(s, "joined")
  command_failed(r, s, "leave", uid, a.reason)
end

for _, flag in pairs(FLAGS) do
  local function changed(c, job, a)
    local r, s = waiting(c, flag.pending_job, job)
    if r and not a.ok then flag_failed(r, s, flag, a.reason) end
  end
  ANSWERS[flag.on.command], ANSWERS[flag.off.command] = changed, changed
end

function ANSWERS.play(c, job, a)
  local r = get_room(c.room)
  if not r or r.flight ~= job then return end
  clear(keys.room(r.id), r, "flight")
  local o = get_operation(c.operation)
  if a.ok and not o then
    -- Stopped or interrupted while the node still fetched it: it must not be heard now.
    silence(r)
  elseif a.ok then
    if url_state(o, c.index) == "sent" then change(keys.operation(o.id), o, { ["u" .. c.index] = "queued" }) end
    fix_volume(r)
    local playing, i = head(r)
    if r.status == "paused" and playing and playing.id == o.id and i == c.index then send_pause(r) end
  elseif o then
    local last = c.index
    if a.reason == "no_members" then last = tonumber(o.total) - 1 end
    if a.reason ~= "no_members" and a.reason ~= "unplayable" then command_failed(r, nil, "play", nil, a.reason) end
    change(keys.operation(o.id), o, { next = last + 1 })
    local places = {}
    for i = c.index, last do places[#places + 1] = i end
    settle_urls(r, o, places, "failed:" .. a.reason)
  end
  advance(r)
end

function ANSWERS.stop(c, job)
  local r = get_room(c.room)
  if not r or r.stopping ~= job then return end
  clear(keys.room(r.id), r, "stopping")
  advance(r)
end

function ANSWERS.pause(c, job, a)
  local r = get_room(c.room)
  if not r or r.operation ~= c.operation or r.pause_job ~= job then return end
  if a.reason == "no_answer" then
    -- Nothing but a toggle tells whether it is paused now.
    send_pause(r)
  elseif not a.ok then
    playback_status(r, c.paused and "playing" or "paused", r.operation)
    command_failed(r, nil, "pause", nil, a.reason)
  elseif a.paused ~= nil and a.paused ~= c.paused then
    if not c.again then return send_pause(r, true) end
    -- It does what it wants; what it says it did is what is heard.
    playback_status(r, a.paused and "paused" or "playing", r.operation)
    tell(r, "conference.play.paused", { operation_id = r.operation, paused = a.paused })
  end
end

function ANSWERS.volume(c, _, a)
  if a.reason ~= "no_answer" and a.reason ~= "node_unreachable" then return end
  local r = get_room(c.room)
  if not r then return end
  local o, i = head(r)
  if not o or o["v" .. i] ~= tostring(c.volume) then return end
  -- It may be as loud as before, and setting it twice does no harm.
  change(keys.operation(o.id), o, { ["v" .. i] = "" })
  fix_volume(r)
end

local function answer(c, job, a)
  log("answer", c.op, { app = c.app, room = c.room, session = c.session, operation = c.operation, job = job,
    ok = a.ok, reason = a.reason, text = a.text })
  local handle = ANSWERS[c.op]
  if handle then handle(c, job, a) end
end
