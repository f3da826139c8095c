-- include: access deliveries delivery again
-- Sends one webhook (args.entry) again that is delivered or failed.
local r = redis.call("HMGET", keys.delivery(args.entry), "app", "status")
local waiting = outbox_fields(args.entry)
local app = waiting and waiting.app or r[1]
if app ~= args.app_id then return refuse("webhook_not_found") end
if LIST[r[2] or "held"] == "retrying" then return refuse("webhook_pending") end
local cannot = cannot_send()
if cannot then return cannot end
send_again(app, args.entry, r[2])
refresh_aside(app)
log("command", args.command, { app = app, webhook = args.webhook_id })
return cjson.encode({ webhook_id = args.webhook_id, status = "retrying" })
