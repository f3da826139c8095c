-- Begins to collect digits of a caller, in place of what is being collected. `timeout_ms`: for the first of them,
-- `digit_timeout_ms`: for each other.
-- args: session_id command_uid? max_digits terminators timeout_ms digit_timeout_ms
-- needs: collections quotas session_commands

local session, instead = own_call()
if instead then return instead end
local refused = limited(session.id, session.node)
if refused then return refused end
if session.state == SESSION.dialing then return refuse("still_dialing") end
refused = exceeded("webhook_bytes", 0)
if refused then return refused end

if session.collected then end_collection(session, "cancelled") end
change(keys.session(session.id), session, { collected = "", max_digits = args.max_digits,
  terminators = args.terminators, digit_timeout_ms = args.digit_timeout_ms, collect_uid = args.command_uid,
  collect_actor = origin.actor, collect_trace = origin.trace })
expect(session.node, "digits", session.id, args.timeout_ms)
return accept_new(session, "collecting")
