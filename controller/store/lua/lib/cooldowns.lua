-- How often a command may come. Each belongs to a group, which cools down by room, session or app.
-- args: group cooldown_ms
-- needs: access

-- Refuses while the command's group cools down for `id`.
local function cooling_down(id)
  local left = redis.call("PTTL", keys.cooldown(args.group, id))
  if left > 0 then return refuse("rate_limited", { retry_after_ms = left, group = args.group }) end
end

-- `ms`: how long it has to be this time, if that is longer.
local function start_cooldown(id, ms)
  ms = math.max(args.cooldown_ms, ms or 0)
  if ms > 0 then redis.call("SET", keys.cooldown(args.group, id), 1, "PX", ms) end
end
