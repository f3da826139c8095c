-- Why nothing can be sent again now: args.has_url, and args.mark, which names the endpoint that args.has_url is about.
local function cannot_send()
  if not args.has_url then return refuse("no_endpoint") end
  local e = redis.call("HMGET", keys.endpoint(args.app_id), "mark", "disabled_at")
  if e[2] and e[1] == args.mark then return refuse("endpoint_disabled") end
end
