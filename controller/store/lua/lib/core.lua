-- What every script has: args (arguments), NOW (ms), records, the event log, webhooks, commands to nodes.
local args = cjson.decode(ARGV[1])
local clock = redis.call("TIME")
local NOW_US = clock[1] * 1000000 + clock[2]
local NOW = math.floor(NOW_US / 1000)
local LOG_ENTRIES = 20000 -- kept for each partition, about
local CONFIRM_MS = 10000 -- within which the node must have taken, answered or confirmed something
local LATE_MS = 2000 -- after which it is unusual that it has not
local PLAY_MS = 45000 -- the same for a play: the node fetches the file first (download-timeout in freeswitch-conf: 30 s)

local function refuse(code, detail)
  return cjson.encode({ refused = code, detail = detail })
end

local function get(key)
  local flat = redis.call("HGETALL", key)
  if #flat == 0 then return nil end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  return record
end

local function change(key, record, fields)
  for name, value in pairs(fields) do
    record[name] = tostring(value)
    redis.call("HSET", key, name, value)
  end
end

local function clear(key, record, ...)
  for _, name in ipairs({ ... }) do record[name] = nil end
  redis.call("HDEL", key, ...)
end

local function get_room(id)
  local r = get(keys.room(id))
  if r then r.id = id end
  return r
end

-- Version 0.1 kept one pending command, and only of mute.
local function move_pending(s)
  local flag, key = FLAGS.muted, keys.session(s.id)
  change(key, s, { [flag.pending] = s.want, [flag.pending_job] = s.want_job, [flag.pending_uid] = s.want_uid })
  clear(key, s, "want", "want_job", "want_uid")
end

local function get_session(id)
  local s = get(keys.session(id))
  if not s then return nil end
  s.id = id
  -- A session that version 0.1 stored: its id tells the channel.
  s.channel = s.channel or string.match(id, "-(.*)")
  if s.want then move_pending(s) end
  return s
end

local function has_flag(s, flag) return s[flag.name] == "1" end

-- `fields`, and all flags of a session by their names.
local function with_flags(s, fields)
  for name, flag in pairs(FLAGS) do fields[name] = has_flag(s, flag) end
  return fields
end

-- One line of the event log. `fields` may hold app, room, session, operation and more.
local function log(kind, type, fields)
  fields.at, fields.kind, fields.type = NOW, kind, type
  redis.call("XADD", keys.log(), "MAXLEN", "~", LOG_ENTRIES, "*", "e", cjson.encode(fields))
end

-- Counts what an app uses of a quota.
local function use(app, quota, amount)
  redis.call("HINCRBY", keys.usage(app), quota, amount)
end

local WEBHOOK_BYTES = 500 -- that an undelivered webhook takes besides its data, about

local COUNTED = {
  rooms = function(app) return redis.call("ZCARD", keys.rooms(app)) end,
  sessions = function(app) return redis.call("ZCARD", keys.sessions(app)) end,
}

-- How much an app uses of a quota.
local function used(app, quota)
  local count = COUNTED[quota]
  return count and count(app) or tonumber(redis.call("HGET", keys.usage(app), quota) or 0)
end

-- `more`: further fields, as JSON, of what is large and JSON already.
local function emit(key, lane, type, data, more)
  data.sequence = redis.call("HINCRBY", key, "seq", 1)
  if args.resynced then data.resynced = true end
  local text = cjson.encode(data)
  if more then text = string.sub(text, 1, -2) .. "," .. more .. "}" end
  local id = redis.call("XADD", keys.outbox(), "*", "app", data.app_id, "type", type, "lane", lane,
    "at", NOW, "data", text)
  use(data.app_id, "webhook_bytes", #text + WEBHOOK_BYTES)
  log("webhook", type, { app = data.app_id, room = data.room_id, session = data.uuid,
    operation = data.operation_id, sequence = data.sequence, webhook = "msg_" .. string.sub(tag, 2, -2) .. "-" .. id })
end

-- A webhook of a room, in the room's order.
local function tell(r, type, data, more)
  data.app_id, data.room_id = r.app, r.id
  emit(keys.room(r.id), r.id, type, data, more)
end

-- A webhook of a session outside rooms, in the session's order.
local function tell_session(s, type, data)
  data.app_id, data.uuid, data.did, data.caller_id = s.app, s.id, s.did, s.caller_id
  emit(keys.session(s.id), s.id, type, data)
end

local function due(node, kind, id)
  redis.call("ZADD", keys.due(node), NOW + CONFIRM_MS, kind .. ":" .. id)
end

local function settled(node, kind, id)
  redis.call("ZREM", keys.due(node), kind .. ":" .. id)
end

-- Hands a command to the node's worker. Its job id names partition and stream entry, so that an answer finds both.
local function send(node, op, command)
  command.op = op
  local entry = redis.call("XADD", keys.commands(node), "*", "c", cjson.encode(command))
  local job = string.sub(tag, 2, -2) .. "-" .. entry
  due(node, "job", job)
  return job
end

-- True when a later worker holds the node: what this one saw or wants no longer counts.
local function fenced()
  local highest = tonumber(redis.call("GET", keys.fence(args.node)) or 0)
  if args.token < highest then return true end
  if args.token > highest then redis.call("SET", keys.fence(args.node), args.token) end
  return false
end
