-- What a dispatcher's scripts begin with: whether it still holds the partition.
-- args: token

-- True when another dispatcher holds the partition, or none does: then this one must change nothing.
local function fenced()
  return redis.call("HGET", keys.dispatcher(), "token") ~= string.format("%.0f", args.token)
end
