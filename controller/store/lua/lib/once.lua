-- How every script of a command runs: it is the function that `once` gets (controller/store/scripts.py).
--
-- A request that has not been counted yet is counted first, in the same step: `admission` has the rate of the app, and
-- for how many requests this one counts. What is left of the rate goes into the reply, as `admission`. With an
-- idempotency key the command is carried out once for it. What the command sends to a node at once (`sender`) goes into
-- the reply, too, as `sent`; what is kept for the key has neither.
-- args: app_id idempotency? admission?
-- needs: admission idempotency node_commands

-- A reply with a further field.
local function with(reply, name, value)
  local comma = reply == "{}" and "" or ","
  return string.sub(reply, 1, -2) .. comma .. '"' .. name .. '":' .. cjson.encode(value) .. "}"
end

-- Runs `command`, and keeps its reply in the same step, unless it refuses: then nothing has changed, and it may be
-- tried again. Another claim means that ours has lapsed meanwhile.
local function kept(command)
  if not args.idempotency then return command() end
  local record = key_record()
  if record and record.claim ~= args.idempotency.claim then return refusal("idempotency_key_in_use") end
  local reply = command()
  if not cjson.decode(reply).refused then keep_reply(reply) end
  return reply
end

local function once(command)
  local admission = args.admission and admit(args.app_id, args.admission.rate, args.admission.cost)
  if admission and admission.refused then return with("{}", "admission", admission) end
  local reply = kept(command)
  if admission then reply = with(reply, "admission", admission) end
  local sent = sent_at_once()
  return sent and with(reply, "sent", sent) or reply
end
