-- Begins a session of the console (KEYS[1] is the registry's tag) for a `principal`, or for that of a `link`, which is
-- used up by this. `session`, `link`: the hashes of their tokens. `idle_ms`, `total_ms`: how long it may be idle, and
-- last. `login`: the `name` (a hash) and the `address` of an operator who has given the password. Replies
-- { principal }, or {} if there is no such link, or the principal is not what it was any more.
-- args: session idle_ms total_ms principal? link? login?
-- needs: principals

local KNOWN_MS = 30 * 86400000 -- for which an address counts as the operator's own

local principal = args.principal
if args.link then
  local raw = redis.call("GET", keys.console_link(args.link))
  redis.call("DEL", keys.console_link(args.link))
  principal = raw and cjson.decode(raw)
  if principal then redis.call("ZREM", keys.console_links(principal.app_id), args.link) end
end
if not principal or not is_current(principal) then return "{}" end
principal.ends = NOW + args.total_ms
redis.call("SET", keys.console_session(args.session), cjson.encode(principal),
  "PX", math.min(args.idle_ms, args.total_ms))
if args.login then redis.call("SET", keys.login_known(args.login.name, args.login.address), 1, "PX", KNOWN_MS) end
return cjson.encode({ principal = principal })
