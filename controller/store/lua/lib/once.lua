-- How a command is carried out once for its idempotency key: every script of a command is the function that this gets
-- (controller/store/scripts.py).
-- args: idempotency?
-- needs: idempotency

-- Runs `command`, and keeps its reply in the same step, unless it refuses: then nothing has changed, and it may be
-- tried again. Another claim means that ours has lapsed meanwhile.
local function once(command)
  if not args.idempotency then return command() end
  local record = key_record()
  if record and record.claim ~= args.idempotency.claim then return refusal("idempotency_key_in_use") end
  local reply = command()
  if not cjson.decode(reply).refused then keep_reply(reply) end
  return reply
end
