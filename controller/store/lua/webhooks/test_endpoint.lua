-- Whether the app may send a webhook.test now, and where to: one of an app in COOLDOWN_MS.
-- args: command app_id

local COOLDOWN_MS = 2000

local left = redis.call("PTTL", keys.cooldown("webhook_test", args.app_id))
if left > 0 then return refusal("rate_limited", { retry_after_ms = left, group = "webhook_test" }) end
redis.call("SET", keys.cooldown("webhook_test", args.app_id), 1, "PX", COOLDOWN_MS)
log("command", args.command, { app = args.app_id })
return cjson.encode({ record = get(keys.endpoint(args.app_id)), at = NOW })
