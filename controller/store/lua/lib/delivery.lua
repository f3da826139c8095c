-- A delivery as it is shown.

local function outbox_fields(id)
  local entry = redis.call("XRANGE", keys.outbox(), id, id)[1]
  return entry and fields_of(entry)
end

-- Until it leaves the outbox, a record has no copy of the webhook itself.
local function describe_delivery(id, record, webhook)
  local status = LIST[record.status] or "pending"
  return { id = id, type = webhook.type, lane = webhook.lane, at = tonumber(webhook.at), status = status,
    attempts = tonumber(record.attempts or 0), next = status == "retrying" and tonumber(record.next) or nil }
end
