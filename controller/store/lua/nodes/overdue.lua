-- include: playback endings members answers
-- What the node should have answered or confirmed by now. Answers how many sessions and rooms there are (load), and
-- whether something waits for so long that the event about it may be lost (late), and whether there is `more` to do.
local PART = 10 -- of what is overdue, and of the members of a room
if fenced() then return refuse("fenced") end
local OVERDUE = {}

function OVERDUE.job(job)
  local raw = redis.call("HGET", keys.sent(args.node), job)
  local reason = "no_answer"
  if raw then
    redis.call("HDEL", keys.sent(args.node), job)
  else
    local entry = string.match(job, "^%w+%-(.+)$")
    local found = redis.call("XRANGE", keys.commands(args.node), entry, entry)[1]
    if not found then return end
    redis.call("XDEL", keys.commands(args.node), entry)
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

for _, flag in pairs(FLAGS) do
  OVERDUE[flag.on.command] = function(id)
    local s = get_session(id)
    local r = s and s.room and get_room(s.room)
    if r then flag_failed(r, s, flag, "not_confirmed") end
  end
end

function OVERDUE.close(id)
  local r = get_room(id)
  if not r then return end
  for _, session in ipairs(redis.call("SRANDMEMBER", keys.present(id), PART)) do
    local s = get_session(session)
    if s then take_out(s, "room_destroyed") else redis.call("SREM", keys.present(id), session) end
  end
  if redis.call("SCARD", keys.present(id)) > 0 then
    redis.call("ZADD", keys.due(args.node), NOW, "close:" .. id)
  else
    forget_if_over(r)
  end
end

function OVERDUE.ending(id)
  local r = get_room(id)
  if r then tell_endings(r) end
end

local items = redis.call("ZRANGEBYSCORE", keys.due(args.node), "-inf", NOW, "LIMIT", 0, PART)
for _, item in ipairs(items) do
  redis.call("ZREM", keys.due(args.node), item)
  local kind, id = string.match(item, "^(%a+):(.+)$")
  OVERDUE[kind](id)
end
return result({ more = redis.call("ZCOUNT", keys.due(args.node), "-inf", NOW) > 0,
  late = redis.call("ZCOUNT", keys.due(args.node), "-inf", NOW + CONFIRM_MS - LATE_MS) > 0,
  load = redis.call("SCARD", keys.node_sessions(args.node)) + redis.call("SCARD", keys.node_rooms(args.node)) })
