-- include: access deliveries again
-- Has the failed webhooks of a time range (args.since to before args.till, ms) sent again. The dispatcher does it, part by part
-- (delivery_aside.lua); here it is only noted. `webhooks`: how many there are.
local cannot = cannot_send()
if cannot then return cannot end
if redis.call("HEXISTS", keys.redeliveries(), args.app_id) == 1 then return refuse("redelivery_under_way") end
local from, to = string.format("%.0f", args.since * 1024), string.format("(%.0f", args.till * 1024)
local count = redis.call("ZCOUNT", keys.deliveries(args.app_id, "failed"), from, to)
if count > 0 then redis.call("HSET", keys.redeliveries(), args.app_id, from .. " " .. to) end
log("command", args.command, { app = args.app_id, webhooks = count })
return cjson.encode({ webhooks = count })
