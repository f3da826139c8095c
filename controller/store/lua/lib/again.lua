-- Why nothing can be sent again now: A.has_url, and A.mark, which names the endpoint that A.has_url is about.
local function cannot_send()
  if not A.has_url then return refuse("no_endpoint") end
  local e = redis.call("HMGET", K.endpoint(A.app_id), "mark", "disabled_at")
  if e[2] and e[1] == A.mark then return refuse("endpoint_disabled") end
end
