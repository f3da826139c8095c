-- Sends one webhook (`entry` of the outbox) again that is delivered or failed.
-- args: command app_id entry webhook_id
-- needs: access redelivery describe_delivery

local owner, status = unpack(redis.call("HMGET", keys.delivery(args.entry), "app", "status"))
local waiting = outbox_fields(args.entry)
local app = waiting and waiting.app or owner
if app ~= args.app_id then return refuse("webhook_not_found") end
if not status or status == DELIVERY.held or status == DELIVERY.aside then return refuse("webhook_pending") end
local refused = cannot_send()
if refused then return refused end
send_again(app, args.entry, status)
refresh_aside(app)
log("command", args.command, { app = app, webhook = args.webhook_id })
return cjson.encode({ webhook_id = args.webhook_id, status = DELIVERY_STATUS.aside })
