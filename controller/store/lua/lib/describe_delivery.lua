-- A delivery as the API shows it.
-- needs: deliveries

local RETRYING = DELIVERY_STATUS.held

-- The fields of a webhook that is in the outbox.
local function outbox_fields(id)
  local entry = redis.call("XRANGE", keys.outbox(), id, id)[1]
  return entry and fields_of(entry)
end

-- `webhook`: its fields. Until it leaves the outbox, they are not in its record.
local function describe_delivery(id, record, webhook)
  local status = DELIVERY_STATUS[record.status or DELIVERY.pending]
  return { id = id, type = webhook.type, lane = webhook.lane, at = tonumber(webhook.at), status = status,
    attempts = tonumber(record.attempts or 0), next = status == RETRYING and tonumber(record.next) or nil }
end
