-- The result of a command that was sent. `reason`: why it failed; `text`: what the node said; `http_status`: of the
-- response of a file's server; `paused`: what a pause toggled to.
-- args: node job ok reason? text? http_status? paused?
-- needs: node_commands node_fence results

-- Commands that are confirmed by their result. The others are by an event.
local BY_RESULT = { play = true, pause = true, stop = true, volume = true, dtmf = true, relate = true,
  session_play = true, session_stop = true }

if fenced() then return refusal("fenced") end
local kept_text = redis.call("HGET", keys.sent(args.node), args.job)
if not kept_text then return cjson.encode({ unknown = true }) end
redis.call("HDEL", keys.sent(args.node), args.job)
confirmed(args.node, "job", args.job)
local sent_command = cjson.decode(kept_text)
local found = args.ok and BY_RESULT[sent_command.op] and confirmation(sent_command.op, args.job) or {}
apply_result(sent_command, args.job,
  { ok = args.ok, reason = args.reason, text = args.text, http_status = args.http_status,
    paused = args.paused })
return reply(found)
