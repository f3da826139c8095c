-- The quotas of an app.
-- args: app_id quotas
-- needs: access

-- Refuses a command that needs `more` of a quota than is left.
local function exceeded(quota, more)
  local now, limit = used(args.app_id, quota), args.quotas[quota]
  if now + more > limit then return refuse("quota_exceeded", { quota = quota, limit = limit, used = now }) end
end
