-- What is known of an app's idempotency keys. A record is either the `claim` of whoever carries the request out, or the
-- `reply` to it. `idempotency`: { id (of the key), request (what was asked for), claim }, both hashes.
-- args: app_id idempotency?

local KEPT_MS = 86400000 -- for which a key stands for its request
local RECORD_BYTES = 500 -- that a record takes besides its reply, approximately

local function key_record()
  local raw = redis.call("GET", keys.idempotency(args.app_id, args.idempotency.id))
  return raw and cjson.decode(raw)
end

-- Keeps the reply, in place of the claim.
local function keep_reply(reply)
  local id, bytes = args.idempotency.id, #reply + RECORD_BYTES
  redis.call("SET", keys.idempotency(args.app_id, id),
    cjson.encode({ request = args.idempotency.request, reply = reply }), "PX", KEPT_MS)
  if redis.call("ZADD", keys.idempotency_ends(args.app_id), NOW + KEPT_MS, id .. " " .. bytes) == 1 then
    use(args.app_id, "idempotency_bytes", bytes)
  end
end
