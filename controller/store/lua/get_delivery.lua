-- include: deliveries delivery
-- One webhook (A.entry) with its data and the attempts that are kept, both JSON, the attempts by their number.
local record = get(K.delivery(A.entry)) or {}
local webhook = record.data and record or outbox_fields(A.entry)
if not webhook or webhook.app ~= A.app_id then return refuse("webhook_not_found") end
local found = describe_delivery(A.entry, record, webhook)
found.data, found.tried = webhook.data, {}
for name, value in pairs(record) do
  local number = string.match(name, "^a(%d+)$")
  if number then found.tried[number] = value end
end
return cjson.encode(found)
