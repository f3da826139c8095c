-- What comes before a command or query itself, in the API's order: whose is it, how often, is the node there.

-- A command (args.command, none for a query) that is refused leaves a line in the event log, unless it came too often: too
-- many of these would fill the log. A room that was not created is logged by its name.
local refusal = refuse
local function refuse(code, detail)
  if args.command and code ~= "rate_limited" then
    log("refused", args.command, { app = args.app_id, room = not args.name and args.room_id or nil, session = args.session_id,
      name = args.name, webhook = args.webhook_id, command_uid = args.command_uid, reason = code, detail = detail })
  end
  return refusal(code, detail)
end

local function own_room(id)
  local r = get_room(id)
  if not r or r.closing then return nil, refuse("room_not_found") end
  if r.app ~= args.app_id then return nil, refuse("room_forbidden") end
  return r
end

local function own_session(id)
  local s = get_session(id)
  if not s then return nil, refuse("session_not_found") end
  if s.app ~= args.app_id then return nil, refuse("session_forbidden") end
  return s
end

-- Refuses while the cooldown `group` of `id` lasts, and while the node is down.
local function limited(group, id)
  local left = redis.call("PTTL", keys.cooldown(group, id))
  if left > 0 then return refuse("rate_limited", { retry_after_ms = left, group = group }) end
  if not args.node_up then return refuse("node_down") end
end

-- Refuses a command that needs `more` of a quota than is left.
local function exceeded(quota, more)
  local now, limit = used(args.app_id, quota), args.quotas[quota]
  if now + more > limit then return refuse("quota_exceeded", { quota = quota, limit = limit, used = now }) end
end

local function start_cooldown(group, id)
  local ms = args.cooldowns[group]
  if ms > 0 then redis.call("SET", keys.cooldown(group, id), 1, "PX", ms) end
end

-- What a command_uid stands for: this very command to this session.
local function named_command() return args.command .. " " .. args.session_id .. " " .. (args.room_id or "") end

-- The answer to a command whose command_uid was used within the last minute: the first one, or that it names another.
local function first_answer()
  local raw = args.command_uid and redis.call("GET", keys.answer(args.app_id, args.command_uid))
  if not raw then return nil end
  local first = cjson.decode(raw)
  return first.command == named_command() and first.answer or refuse("command_uid_taken")
end

-- The session of a command to a member, or the answer that it gets instead.
local function own_member(group)
  local s, no = own_session(args.session_id)
  if no then return nil, no end
  local first = first_answer()
  if first then return nil, first end
  if not s.room then return nil, refuse("not_in_room") end
  local limit = limited(group, s.id)
  if limit then return nil, limit end
  if s.state == "joining" then return nil, refuse("still_joining") end
  if s.state == "leaving" then return nil, refuse("leaving") end
  return s
end

-- The end of an accepted session command.
local function accept(group, s, answer)
  if group then start_cooldown(group, s.id) end
  local text = cjson.encode(answer)
  if args.command_uid then
    redis.call("SET", keys.answer(args.app_id, args.command_uid), cjson.encode({ command = named_command(), answer = text }),
      "EX", 60)
  end
  log("command", args.command, { app = args.app_id, room = answer.room_id, session = s.id, command_uid = args.command_uid,
    answer = answer.status })
  return text
end

-- One page of a sorted set whose scores only grow: positions stay, so a page neither repeats nor skips an entry.
-- `describe` answers nil for what does not belong. With `most`, so many are looked at and no more: the page may then be
-- short, or empty, and yet not the last.
local function page(key, describe, most)
  most = most or args.limit
  local found = redis.call("ZRANGEBYSCORE", key, "(" .. args.after, "+inf", "WITHSCORES", "LIMIT", 0, most + 1)
  local rows, cursor = {}, 0
  for i = 1, math.min(#found, most * 2), 2 do
    local row = describe(found[i])
    if row then rows[#rows + 1] = row end
    cursor = i + 2 < #found and tonumber(found[i + 1]) or 0
    if #rows == args.limit then break end
  end
  return cjson.encode({ rows = #rows > 0 and rows or nil, cursor = cursor })
end
