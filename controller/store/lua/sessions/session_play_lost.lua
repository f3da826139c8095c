-- The node does not play the file that it should be playing to a session: that it is done was missed, and so is how.
-- args: session_id operation_id index
-- needs: node_fence session_plays sessions

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
local operation = session and session.play_operation == args.operation_id and played_to(session)
if not operation or session.play_flight or args.index + 1 ~= tonumber(operation.next) then
  return cjson.encode({ known = true })
end
interrupt_play(session)
return cjson.encode({ interrupted = true })
