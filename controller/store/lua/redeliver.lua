-- include: access deliveries delivery again
-- Sends one webhook (A.entry) again that is delivered or failed.
local r = redis.call("HMGET", K.delivery(A.entry), "app", "status")
local waiting = outbox_fields(A.entry)
local app = waiting and waiting.app or r[1]
if app ~= A.app_id then return refuse("webhook_not_found") end
if LIST[r[2] or "held"] == "retrying" then return refuse("webhook_pending") end
local cannot = cannot_send()
if cannot then return cannot end
send_again(app, A.entry, r[2])
refresh_aside(app)
log("command", A.command, { app = app, webhook = A.webhook_id })
return cjson.encode({ webhook_id = A.webhook_id, status = "retrying" })
