-- include: access deliveries again
-- Has the failed webhooks of a time range (A.since to before A.till, ms) sent again. The dispatcher does it, part by part
-- (delivery_aside.lua); here it is only noted. `webhooks`: how many there are.
local cannot = cannot_send()
if cannot then return cannot end
if redis.call("HEXISTS", K.redeliveries(), A.app_id) == 1 then return refuse("redelivery_under_way") end
local from, to = string.format("%.0f", A.since * 1024), string.format("(%.0f", A.till * 1024)
local count = redis.call("ZCOUNT", K.deliveries(A.app_id, "failed"), from, to)
if count > 0 then redis.call("HSET", K.redeliveries(), A.app_id, from .. " " .. to) end
log("command", A.command, { app = A.app_id, webhooks = count })
return cjson.encode({ webhooks = count })
