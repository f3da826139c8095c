-- How often a command may come. Each belongs to a group, which cools down by room, session or app.
-- args: group cooldown_ms
-- needs: access

local UNKNOWN = "1" -- how long it was: version 0.1 did not keep that

-- Refuses while the command's group cools down for `id`. What is left may be more than the whole: then the clock was
-- set back.
local function cooling_down(id)
  local key = keys.cooldown(args.group, id)
  local left = redis.call("PTTL", key)
  if left <= 0 then return nil end
  local whole = redis.call("GET", key)
  if whole == UNKNOWN or left <= (tonumber(whole) or 0) then
    return refuse("rate_limited", { retry_after_ms = left, group = args.group })
  end
end

-- `ms`: how long it has to be this time, if that is longer.
local function start_cooldown(id, ms)
  ms = math.max(args.cooldown_ms, ms or 0)
  if ms > 0 then redis.call("SET", keys.cooldown(args.group, id), ms, "PX", ms) end
end
