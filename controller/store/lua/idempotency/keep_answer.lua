-- Keeps the answer to a request of an idempotency key that was carried out in several steps. Replies {}.
-- args: answer
-- needs: idempotency

keep_reply(args.answer)
return "{}"
