-- How webhooks are emitted: into the outbox, from which a dispatcher delivers them.
-- args: resynced?

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
    operation = data.operation_id, sequence = data.sequence, webhook = webhook_id(entry) })
end

-- Emits a webhook of a room, in the room's order.
local function emit_room(room, type, data, more)
  data.app_id, data.room_id = room.app, room.id
  emit(keys.room(room.id), room.id, type, data, more)
end

-- Emits a webhook of a session outside rooms, in the session's order.
local function emit_session(session, type, data)
  data.app_id, data.uuid, data.did, data.caller_id = session.app, session.id, session.did, session.caller_id
  emit(keys.session(session.id), session.id, type, data)
end
