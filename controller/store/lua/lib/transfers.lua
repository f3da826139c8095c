-- Transfers of calls to numbers.
--
-- How it works: the node connects the call with another one, which is no session. The session knows that one's uuid
-- (`transfer_leg`) before the node is told, until it is over; so does the count of the app's calls, by another id.
-- needs: call_commands members

-- The call to the number is over, or none. From here on the script acts on behalf of whoever transferred, unless it was
-- answered. Returns the command_uid, and the origin before.
local function forget_transfer(session)
  local uid, before = forget_call_command(session, "transfer")
  redis.call("SREM", keys.dialled(session.app), session.transfer_dial)
  clear(keys.session(session.id), session, "transfer_leg", "transfer_dial", "transfer_to", "transfer_from")
  return uid, before
end

-- The call goes on without the number: it is parked, or has never left its room. `cause`: the hangup cause, empty if
-- there is none. `word`: for why it failed, in place of that of the cause.
local function transfer_failed(session, cause, word)
  local data = { to = session.transfer_to, shown_as = session.transfer_from,
    cause = word or DIAL_CAUSES[cause] or OTHER_DIAL_CAUSE, hangup_cause = cause ~= "" and cause or nil }
  local before
  data.command_uid, before = forget_transfer(session)
  if session.room then
    step_session(session, "transfer_refused")
    forget_leaving(session)
  else
    step_session(session, "transfer_failed")
  end
  emit_session(session, "session.transfer_failed", data)
  act_for(before)
end
