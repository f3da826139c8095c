-- How webhooks are emitted: into the outbox, from which a dispatcher delivers them.
-- args: resynced? quotas?

local MAX_LOGGED_BYTES = 4096 -- of a webhook's data that is kept with its line in the event log
local MAX_LARGE_BYTES = 8388608 -- of all larger ones of a partition: the oldest are dropped first

-- Keeps data that is too large for the event log, apart from it. Returns its entry.
local function keep_large(data)
  local entry = redis.call("XADD", keys.large(), "*", "d", data)
  local bytes = redis.call("INCRBY", keys.large_bytes(), #data)
  while bytes > MAX_LARGE_BYTES do
    local oldest = redis.call("XRANGE", keys.large(), "-", "+", "COUNT", 1)[1]
    if not oldest then
      redis.call("DEL", keys.large_bytes())
      break
    end
    redis.call("XDEL", keys.large(), oldest[1])
    bytes = redis.call("DECRBY", keys.large_bytes(), #oldest[2][2])
  end
  return entry
end

-- The field of the event log's entry from which streams of events have a webhook's data.
local function logged_data(data)
  if #data > MAX_LOGGED_BYTES then return "l", keep_large(data) end
  return "d", data
end

-- A webhook's data for the event log: digits may be a PIN, and only the endpoint is told them.
local function without_digits(data, text)
  if not (data.digit or data.digits) then return text end
  for _, name in ipairs({ "digit", "digits" }) do data[name] = data[name] and "" end
  return cjson.encode(data)
end

-- The id of a webhook, from its entry of the outbox.
local function webhook_id(entry) return "msg_" .. string.sub(tag, 2, -2) .. "-" .. entry end

-- Adds a webhook to the outbox. `record` is the key of its room or session, whose `seq` counts its webhooks.
-- `more`: further fields of the data, large ones that are JSON already.
local function emit(record, ordering_key, type, data, more)
  data.sequence = redis.call("HINCRBY", record, "seq", 1)
  if args.resynced then data.resynced = true end
  local text = cjson.encode(data)
  if more then text = string.sub(text, 1, -2) .. "," .. more .. "}" end
  local entry = redis.call("XADD", keys.outbox(), "*", "app", data.app_id, "type", type, "lane", ordering_key,
    "at", NOW, "data", text, unpack(origin.trace and { "trace", origin.trace } or {}))
  use(data.app_id, "webhook_bytes", #text + WEBHOOK_BYTES)
  log("webhook", type, { app = data.app_id, room = data.room_id, session = data.uuid,
    operation = data.operation_id, sequence = data.sequence, webhook = webhook_id(entry) },
    logged_data(without_digits(data, text)))
end

-- Whether so much of an app's is undelivered that webhooks which come as often as somebody speaks or presses keys have
-- to leave room for those that matter.
local function is_crowded(app) return used(app, "webhook_bytes") > args.quotas.webhook_bytes / 2 end

-- Emits a webhook of a room, in the room's order.
local function emit_room(room, type, data, more)
  data.app_id, data.room_id = room.app, room.id
  emit(keys.room(room.id), room.id, type, data, more)
end

-- Emits a webhook of a session outside rooms, in the session's order.
local function emit_session(session, type, data, more)
  data.app_id, data.uuid, data.did, data.caller_id = session.app, session.id, session.did, session.caller_id
  emit(keys.session(session.id), session.id, type, data, more)
end
