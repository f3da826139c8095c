-- Calls that the app has hung up, until the node says that they have ended.
-- needs: node_commands outbox

-- The node has ended the call, or will not. From here on the script acts on behalf of whoever hung up. Returns the
-- command_uid, and the origin before.
local function forget_hang_up(session)
  local uid = session.hang_up_uid
  local before = act_for({ actor = session.hang_up_actor, trace = session.hang_up_trace })
  confirmed(session.node, "hang_up", session.id)
  clear(keys.session(session.id), session, "hangup_cause", "hang_up_job", "hang_up_uid", "hang_up_actor",
    "hang_up_trace")
  return uid, before
end

-- The call goes on: the node did not end it.
local function hang_up_failed(session, reason)
  local uid, before = forget_hang_up(session)
  emit_session(session, "session.command.failed", { command = "hang_up", command_uid = uid, reason = reason })
  act_for(before)
end
