-- A delivery as it is shown.

-- The fields of an outbox entry (a flat list), or nil.
local function outbox_fields(id)
  local entry = redis.call("XRANGE", K.outbox(), id, id)[1]
  if not entry then return nil end
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  return fields
end

-- Until it leaves the outbox, a record has no copy of the webhook itself.
local function describe_delivery(id, record, webhook)
  local status = LIST[record.status] or "pending"
  return { id = id, type = webhook.type, lane = webhook.lane, at = tonumber(webhook.at), status = status,
    attempts = tonumber(record.attempts or 0), next = status == "retrying" and tonumber(record.next) or nil }
end
