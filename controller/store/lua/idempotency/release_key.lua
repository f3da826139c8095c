-- Gives up the claim of an idempotency key, so that its request may be tried again. Replies {}.
-- args: app_id idempotency
-- needs: idempotency

local record = key_record()
if record and record.claim == args.idempotency.claim then
  redis.call("DEL", keys.idempotency(args.app_id, args.idempotency.id))
end
return "{}"
