-- Takes or renews the lease on a node (KEYS[1] is the node's tag), and says whether the node is reachable (`up`).
-- A worker that has just taken the lease does not know yet and gives no `up`, which changes nothing. `ttl`, `live_ttl`:
-- ms. Replies { token } or { held_by }.
-- args: owner ttl live_ttl up? load? calls? core_uuid?

local token, owner = string.match(redis.call("GET", keys.lease()) or "", "^(%d+) (.+)$")
if owner and owner ~= args.owner then
  if redis.call("PTTL", keys.lease()) > args.ttl then
    -- It was taken before the clock was set back.
    redis.call("PEXPIRE", keys.lease(), args.ttl)
    redis.call("PEXPIRE", keys.live(), args.live_ttl)
  end
  return cjson.encode({ held_by = owner })
end
if not owner then
  -- The first is higher than any before, of which a partition may have a fence still, if the store has lost its data.
  redis.call("SET", keys.token(), NOW, "NX")
  token = redis.call("INCR", keys.token())
end
redis.call("SET", keys.lease(), token .. " " .. args.owner, "PX", args.ttl)
if args.up then
  redis.call("HSET", keys.live(), "load", args.load, "calls", args.calls, "at", NOW)
  redis.call("PEXPIRE", keys.live(), args.live_ttl)
  redis.call("SET", keys.core(), args.core_uuid)
elseif args.up == false then
  redis.call("DEL", keys.live())
end
return cjson.encode({ token = tonumber(token) })
