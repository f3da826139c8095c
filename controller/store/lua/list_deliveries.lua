-- include: deliveries delivery
-- Deliveries of the app, the newest first: A.status, A.type, A.room, A.since and A.till (ms) narrow them. At most SCAN are
-- looked at, so a page may be short, or empty, and yet not the last. `cursor` is text: it has more digits than cjson gives.
local SCAN = 1000

local narrowed = A.type or A.room
local lowest = A.since and string.format("%.0f", A.since * 1024) or "-inf"
local highest = A.till and string.format("(%.0f", A.till * 1024) or "+inf"
if A.after > 0 and (not A.till or A.after < A.till * 1024) then highest = string.format("(%.0f", A.after) end

local most = narrowed and SCAN or A.limit
local found = {}
for _, status in ipairs(A.status and { A.status } or { "retrying", "delivered", "failed" }) do
  local part = redis.call("ZREVRANGEBYSCORE", K.deliveries(A.app_id, status), highest, lowest, "WITHSCORES", "LIMIT", 0,
    most + 1)
  for i = 1, #part, 2 do found[#found + 1] = { part[i], tonumber(part[i + 1]) } end
end
table.sort(found, function(a, b) return a[2] > b[2] end)

local rows, cursor = {}, 0
for i = 1, math.min(#found, most) do
  local id = found[i][1]
  local r = redis.call("HMGET", K.delivery(id), "type", "lane", "at", "status", "attempts", "next")
  local webhook = r[1] and { type = r[1], lane = r[2], at = r[3] } or (r[4] and outbox_fields(id))
  if webhook and (not A.type or webhook.type == A.type) and (not A.room or webhook.lane == A.room) then
    rows[#rows + 1] = describe_delivery(id, { status = r[4], attempts = r[5], next = r[6] }, webhook)
  end
  if i < #found then cursor = found[i][2] else cursor = 0 end
  if #rows == A.limit then break end
end
return cjson.encode({ rows = #rows > 0 and rows or nil, cursor = string.format("%.0f", cursor) })
