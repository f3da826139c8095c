-- Whether webhooks can be sent again. `has_url`: the app has an endpoint; `mark` names its URL.
-- args: app_id has_url mark
-- needs: access

-- Refuses when nothing can be sent again now.
local function cannot_send()
  if not args.has_url then return refuse("no_endpoint") end
  local mark, disabled_at = unpack(redis.call("HMGET", keys.endpoint(args.app_id), "mark", "disabled_at"))
  if disabled_at and mark == args.mark then return refuse("endpoint_disabled") end
end
