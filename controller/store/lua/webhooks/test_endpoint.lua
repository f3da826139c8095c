-- Whether the app may send a webhook.test now, and where to.
-- args: command app_id
-- needs: cooldowns

local refused = cooling_down(args.app_id)
if refused then return refused end
start_cooldown(args.app_id)
log("command", args.command, { app = args.app_id })
return cjson.encode({ record = get(keys.endpoint(args.app_id)), at = NOW })
