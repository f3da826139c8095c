-- A call has parked: a new session, or one back from a room, which del-member reported already. A late event does not
-- start an ended session again: when a link comes up, the comparison is applied before the events that came meanwhile.
-- args: session_id channel did caller_id
-- needs: node_fence parked

if fenced() then return refusal("fenced") end
if has_begun(args.session_id) then return cjson.encode({ known = true }) end
local session = begin_parked(args.session_id, args.channel, args.did, args.caller_id)
if not session then return refusal("quota_exceeded") end
return cjson.encode({ started = true })
