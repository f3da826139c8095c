-- The result of a command that was sent. `reason`: why it failed; `text`: what the node said; `http_status`: of the
-- response of a file's server; `paused`: what a pause toggled to.
-- args: node job ok reason? text? http_status? paused?
-- needs: node_fence results

if fenced() then return refusal("fenced") end
local raw = redis.call("HGET", keys.sent(args.node), args.job)
if not raw then return cjson.encode({ unknown = true }) end
redis.call("HDEL", keys.sent(args.node), args.job)
confirmed(args.node, "job", args.job)
apply_result(cjson.decode(raw), args.job,
  { ok = args.ok, reason = args.reason, text = args.text, http_status = args.http_status,
    paused = args.paused })
return reply({ done = true })
