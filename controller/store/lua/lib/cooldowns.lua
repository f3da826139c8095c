-- How often a command may come. Each belongs to a group, which cools down for each room or session alone.
-- args: cooldowns node_up
-- needs: access

-- Refuses while the cooldown `group` of `id` lasts, and while the node is down.
local function limited(group, id)
  local left = redis.call("PTTL", keys.cooldown(group, id))
  if left > 0 then return refuse("rate_limited", { retry_after_ms = left, group = group }) end
  if not args.node_up then return refuse("node_down") end
end

local function start_cooldown(group, id)
  local ms = args.cooldowns[group]
  if ms > 0 then redis.call("SET", keys.cooldown(group, id), 1, "PX", ms) end
end
