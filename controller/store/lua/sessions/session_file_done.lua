-- The node is done with a file that it played to a session. For a file of an operation that is over, this only ends the
-- stop of it. `reason`: why it was not played, if it was not.
-- args: session_id operation_id index reason?
-- needs: node_fence session_plays sessions

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
if not session then return cjson.encode({ unknown = true }) end
if session.play_file == args.operation_id .. ":" .. args.index then
  file_is_over(session)
  local next_one = session.play_operation ~= args.operation_id and played_to(session)
  if next_one then play_next(session, next_one) end
end
local operation = session.play_operation == args.operation_id and played_to(session)
if not operation or args.index + 1 ~= tonumber(operation.next) or OVER[url_state(operation, args.index)] then
  return cjson.encode({ known = true })
end
act_for(operation)
log("event", "session-play-done",
  { app = session.app, session = session.id, operation = operation.id, index = args.index, reason = args.reason })
if args.reason == "relay_lost" and tonumber(operation.tries) < MAX_TRIES then
  -- The play may have no result yet. It is of no account any more.
  send_file(session, operation, args.index, operation.tries + 1)
elseif args.reason then
  session_file_over(session, operation, args.index, "fail", "unplayable")
else
  session_file_over(session, operation, args.index, "finish")
end
return cjson.encode({ played = true })
