-- Counts an attempt to log in before the password is looked at (a burst, and then an even rate). Refuses above
-- the rate, with the ms to wait. A stranger's attempts count by address, by the block that it is in, of which one may
-- have many addresses, and by name whatever the address. From an address where the operator has logged in before they
-- count by both, so that strangers lock nobody out there. KEYS[1] is the registry's tag; `name`: a hash.
-- args: name address block?
-- needs: rates

local BURST = 10
local BLOCK_TIMES = 3 -- so much more of it a block has
local INTERVAL_US = 30000000 -- after a burst, one attempt in so long

local buckets = { keys.login_rate("address:" .. args.address), keys.login_rate("name:" .. args.name) }
local intervals = { INTERVAL_US, INTERVAL_US, INTERVAL_US / BLOCK_TIMES }
if args.block then buckets[#buckets + 1] = keys.login_rate("block:" .. args.block) end
if redis.call("EXISTS", keys.login_known(args.name, args.address)) == 1 then
  buckets = { keys.login_rate("both:" .. args.name .. ":" .. args.address) }
end

local arrivals, wait = {}, 0
for i, bucket in ipairs(buckets) do
  arrivals[i] = next_arrival(bucket, BURST * INTERVAL_US) + intervals[i]
  wait = math.max(wait, arrivals[i] - NOW_US - BURST * INTERVAL_US)
end
if wait > 0 then return refusal("rate_limited", { retry_after_ms = math.ceil(wait / 1000) }) end
for i, bucket in ipairs(buckets) do
  redis.call("SET", bucket, string.format("%.0f", arrivals[i]), "PX", math.ceil((arrivals[i] - NOW_US) / 1000))
end
return "{}"
