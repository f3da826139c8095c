-- What a step of a dispatcher begins with: whether it still holds the partition.
-- args: token

-- True when another dispatcher holds the partition, or when none does: what this one has to say no longer counts.
local function fenced()
  return redis.call("HGET", keys.dispatcher(), "token") ~= string.format("%.0f", args.token)
end
