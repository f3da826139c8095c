-- Finds a session of the console by the hash of its token, and lets it go on for `idle_ms` more; or `ends` it. KEYS[1]
-- is the registry's tag. Replies { principal }, or {} if there is none.
-- args: session idle_ms ends?
-- needs: principals

local key = keys.console_session(args.session)
local raw = redis.call("GET", key)
local principal = raw and cjson.decode(raw)
if not principal then return "{}" end
if args.ends or principal.ends <= NOW or not is_current(principal) then
  redis.call("DEL", key)
  return "{}"
end
redis.call("PEXPIRE", key, math.min(args.idle_ms, principal.ends - NOW))
return cjson.encode({ principal = principal })
