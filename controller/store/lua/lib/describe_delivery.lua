-- A delivery as the API shows it.
-- needs: deliveries records

local RETRYING = DELIVERY_STATUS.held

-- The fields of a webhook that is in the outbox.
local function outbox_fields(id)
  local entry = redis.call("XRANGE", keys.outbox(), id, id)[1]
  return entry and fields_of(entry)
end

-- `webhook`: its fields. Until it leaves the outbox, they are not in its record. Raises an error if one is broken.
local function describe_delivery(id, record, webhook)
  local status = DELIVERY_STATUS[record.status or DELIVERY.pending]
  return { id = id, type = text_in(webhook, "type"), lane = text_in(webhook, "lane"), at = number_in(webhook, "at", 14),
    status = status, attempts = count_in(record.attempts),
    next = status == RETRYING and record.next and number_in(record, "next", 14) or nil }
end
