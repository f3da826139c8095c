-- include: playback endings members answers
-- What the node should have answered or confirmed by now. Answers how many sessions and rooms there are (load), and
-- whether something waits for so long that the event about it may be lost (late), and whether there is `more` to do.
local PART = 10 -- of what is overdue, and of the members of a room
if fenced() then return refuse("fenced") end
local OVERDUE = {}

function OVERDUE.job(job)
  local raw = redis.call("HGET", K.sent(A.node), job)
  local reason = "no_answer"
  if raw then
    redis.call("HDEL", K.sent(A.node), job)
  else
    local entry = string.match(job, "^%w+%-(.+)$")
    local found = redis.call("XRANGE", K.commands(A.node), entry, entry)[1]
    if not found then return end
    redis.call("XDEL", K.commands(A.node), entry)
    raw, reason = found[2][2], "node_unreachable"
  end
  answer(cjson.decode(raw), job, { ok = false, reason = reason })
end

function OVERDUE.join(id)
  local s = get_session(id)
  if s and s.state == "joining" then take_out(s, "not_confirmed") end
end

function OVERDUE.leave(id)
  local s = get_session(id)
  if s and s.state == "leaving" then
    ANSWERS.kick({ session = id, room = s.room }, s.job, { ok = false, reason = "not_confirmed" })
  end
end

function OVERDUE.mute(id)
  local s = get_session(id)
  local r = s and s.room and get_room(s.room)
  if r then drop_wish(r, s, "not_confirmed") end
end

function OVERDUE.close(id)
  local r = get_room(id)
  if not r then return end
  for _, session in ipairs(redis.call("SRANDMEMBER", K.present(id), PART)) do
    local s = get_session(session)
    if s then take_out(s, "room_destroyed") else redis.call("SREM", K.present(id), session) end
  end
  if redis.call("SCARD", K.present(id)) > 0 then
    redis.call("ZADD", K.due(A.node), NOW, "close:" .. id)
  else
    forget_if_over(r)
  end
end

function OVERDUE.ending(id)
  local r = get_room(id)
  if r then tell_endings(r) end
end

local items = redis.call("ZRANGEBYSCORE", K.due(A.node), "-inf", NOW, "LIMIT", 0, PART)
for _, item in ipairs(items) do
  redis.call("ZREM", K.due(A.node), item)
  local kind, id = string.match(item, "^(%a+):(.+)$")
  OVERDUE[kind](id)
end
return result({ more = redis.call("ZCOUNT", K.due(A.node), "-inf", NOW) > 0,
  late = redis.call("ZCOUNT", K.due(A.node), "-inf", NOW + CONFIRM_MS - LATE_MS) > 0,
  load = redis.call("SCARD", K.node_sessions(A.node)) + redis.call("SCARD", K.node_rooms(A.node)) })
