-- Has the failed webhooks of a time range (`since` to before `till`, ms) sent again. This only stores the range; the
-- dispatcher moves them part by part (delivery_aside.lua). Replies { webhooks }: how many there are.
-- args: command app_id since till
-- needs: access redelivery

local refused = cannot_send()
if refused then return refused end
if redis.call("HEXISTS", keys.redeliveries(), args.app_id) == 1 then return refuse("redelivery_under_way") end
local from, to = string.format("%.0f", args.since * 1024), string.format("(%.0f", args.till * 1024)
local count = redis.call("ZCOUNT", keys.deliveries(args.app_id, DELIVERY_STATUS.failed), from, to)
if count > 0 then redis.call("HSET", keys.redeliveries(), args.app_id, from .. " " .. to) end
log("command", args.command, { app = args.app_id, webhooks = count })
return cjson.encode({ webhooks = count })
