-- Deliveries of the app that were attempted, the newest first; only those of a status, a type, a room or a time (ms)
-- if that is given. At most MAX_SCANNED are looked at, so a page may be short, or empty, and yet not the last. `cursor`
-- is text: it has more digits than cjson gives.
-- args: app_id after limit status? type? room? since? till?
-- needs: describe_delivery records
-- lists: rows

local MAX_SCANNED = 1000

local FIELDS = { "type", "lane", "at", "status", "attempts", "next" } -- of a record, all but what is large

-- Whether a webhook is of the room that is asked for, or of a recording of it.
local function is_of_room(lane)
  return not args.room or lane == args.room or string.sub(lane, 1, #args.room + 1) == args.room .. "/"
end

local function describe(id)
  local record = read_record(id, FIELDS)
  local webhook = record.type and record or (record.status and outbox_fields(id))
  if webhook and (not args.type or webhook.type == args.type) and is_of_room(webhook.lane) then
    return describe_delivery(id, record, webhook)
  end
end

local narrowed = args.type or args.room
local lowest = args.since and string.format("%.0f", args.since * 1024) or "-inf"
local highest = args.till and string.format("(%.0f", args.till * 1024) or "+inf"
if args.after > 0 and (not args.till or args.after < args.till * 1024) then
  highest = string.format("(%.0f", args.after)
end

local scan = narrowed and MAX_SCANNED or args.limit
local found = {}
for _, status in ipairs(args.status and { args.status } or LISTED_STATUSES) do
  local part = redis.call("ZREVRANGEBYSCORE", keys.deliveries(args.app_id, status), highest, lowest, "WITHSCORES",
    "LIMIT", 0, scan + 1)
  for i = 1, #part, 2 do found[#found + 1] = { id = part[i], position = tonumber(part[i + 1]) } end
end
table.sort(found, function(one, other) return one.position > other.position end)

local rows, cursor = {}, 0
for i = 1, math.min(#found, scan) do
  local succeeded, row = try(found[i].id, describe, found[i].id)
  if succeeded then rows[#rows + 1] = row end
  if i < #found then cursor = found[i].position else cursor = 0 end
  if #rows == args.limit then break end
end
return cjson.encode({ rows = as_list(rows), cursor = string.format("%.0f", cursor),
  broken = as_list(broken) })
