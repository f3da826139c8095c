-- Claims an idempotency key for `hold_ms`, before its request is carried out. Replies { reply } instead if that was
-- done already, or refuses.
-- args: app_id idempotency hold_ms
-- needs: idempotency quotas

local MAX_FORGOTTEN = 100 -- records at a time
local BUSY_MS = 20000 -- within which whoever carries a request out has ended, unless its process died
local SOON_MS = 1000

local ends = keys.idempotency_ends(args.app_id)
for _, entry in ipairs(redis.call("ZRANGEBYSCORE", ends, "-inf", NOW, "LIMIT", 0, MAX_FORGOTTEN)) do
  redis.call("ZREM", ends, entry)
  use(args.app_id, "idempotency_bytes", -string.match(entry, " (%d+)$"))
end

local record = key_record()
if record then
  if record.request ~= args.idempotency.request then return refuse("idempotency_key_reused") end
  if record.reply then return cjson.encode({ reply = record.reply }) end
  local left = redis.call("PTTL", keys.idempotency(args.app_id, args.idempotency.id))
  local is_busy = args.hold_ms - left < BUSY_MS
  return refuse("idempotency_key_in_use", { retry_after_ms = is_busy and math.min(left, SOON_MS) or left })
end
local refused = exceeded("idempotency_bytes", 1)
if refused then return refused end
redis.call("SET", keys.idempotency(args.app_id, args.idempotency.id),
  cjson.encode({ request = args.idempotency.request, claim = args.idempotency.claim }), "PX", args.hold_ms)
return "{}"
