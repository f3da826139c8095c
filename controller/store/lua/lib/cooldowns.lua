-- How often a command may come. Each belongs to a group, which cools down by room, session or app.
-- args: group cooldown_ms
-- needs: access

-- Refuses while the command's group cools down for `id`.
local function cooling_down(id)
  local left = redis.call("PTTL", keys.cooldown(args.group, id))
  if left > 0 then return refuse("rate_limited", { retry_after_ms = left, group = args.group }) end
end

local function start_cooldown(id)
  if args.cooldown_ms > 0 then redis.call("SET", keys.cooldown(args.group, id), 1, "PX", args.cooldown_ms) end
end
