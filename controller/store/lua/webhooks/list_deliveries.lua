-- include: deliveries delivery
-- Deliveries of the app, the newest first: args.status, args.type, args.room, args.since and args.till (ms) narrow them. At most SCAN are
-- looked at, so a page may be short, or empty, and yet not the last. `cursor` is text: it has more digits than cjson gives.
local SCAN = 1000

local narrowed = args.type or args.room
local lowest = args.since and string.format("%.0f", args.since * 1024) or "-inf"
local highest = args.till and string.format("(%.0f", args.till * 1024) or "+inf"
if args.after > 0 and (not args.till or args.after < args.till * 1024) then highest = string.format("(%.0f", args.after) end

local most = narrowed and SCAN or args.limit
local found = {}
for _, status in ipairs(args.status and { args.status } or { "retrying", "delivered", "failed" }) do
  local part = redis.call("ZREVRANGEBYSCORE", keys.deliveries(args.app_id, status), highest, lowest, "WITHSCORES", "LIMIT", 0,
    most + 1)
  for i = 1, #part, 2 do found[#found + 1] = { part[i], tonumber(part[i + 1]) } end
end
table.sort(found, function(a, b) return a[2] > b[2] end)

local rows, cursor = {}, 0
for i = 1, math.min(#found, most) do
  local id = found[i][1]
  local r = redis.call("HMGET", keys.delivery(id), "type", "lane", "at", "status", "attempts", "next")
  local webhook = r[1] and { type = r[1], lane = r[2], at = r[3] } or (r[4] and outbox_fields(id))
  if webhook and (not args.type or webhook.type == args.type) and (not args.room or webhook.lane == args.room) then
    rows[#rows + 1] = describe_delivery(id, { status = r[4], attempts = r[5], next = r[6] }, webhook)
  end
  if i < #found then cursor = found[i][2] else cursor = 0 end
  if #rows == args.limit then break end
end
return cjson.encode({ rows = #rows > 0 and rows or nil, cursor = string.format("%.0f", cursor) })
