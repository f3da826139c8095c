-- One webhook (`entry` of the outbox) with its data and the attempts that are kept, both JSON, the attempts by their
-- number.
-- args: app_id entry
-- needs: access describe_delivery

local record = get(keys.delivery(args.entry)) or {}
local webhook = record.data and record or outbox_fields(args.entry)
if not webhook or webhook.app ~= args.app_id then return refuse("webhook_not_found") end
local found = describe_delivery(args.entry, record, webhook)
found.data, found.tried = webhook.data, {}
for name, value in pairs(record) do
  local number = string.match(name, "^a(%d+)$")
  if number then found.tried[number] = value end
end
return cjson.encode(found)
