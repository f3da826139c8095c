-- The result of a command that was sent, and the end of its script where nothing follows from it: an event confirms
-- what the node was told to change of a member. What a script does not get to it need not build up.
-- args: node job ok reason? text?
-- needs: node_fence node_commands

if fenced() then return refusal("fenced") end
local kept_text = redis.call("HGET", keys.sent(args.node), args.job)
if not kept_text then return cjson.encode({ unknown = true }) end
redis.call("HDEL", keys.sent(args.node), args.job)
confirmed(args.node, "job", args.job)
local sent_command = cjson.decode(kept_text)

if args.ok and CHANGES[sent_command.op] then
  log_answer(sent_command, args.job, { ok = true, reason = args.reason, text = args.text })
  return "{}"
end
