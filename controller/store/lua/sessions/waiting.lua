-- Where an app's calls wait for a room. Replies { waiting }: by node, how many of the app's newest sessions are parked.
-- Counted here and not kept in the store, where a count could come to differ from what is counted.
-- args: app_id

local MAX_LOOKED_AT = 100

local waiting = {}
for _, id in ipairs(redis.call("ZREVRANGE", keys.sessions(args.app_id), 0, MAX_LOOKED_AT - 1)) do
  local state, node = unpack(redis.call("HMGET", keys.session(id), "state", "node"))
  if state == SESSION.parked and node then waiting[node] = (waiting[node] or 0) + 1 end
end
return cjson.encode({ waiting = waiting })
