-- The commands to a node to make a call, or to connect one to a number.
-- needs: call_commands

local OVER_MS = 20000 -- after the time for which it may ring, when it must have been answered or have failed

-- Has the node call, and gives it `seconds` to be answered.
local function send_dial(session, fields, seconds)
  expect(session.node, "dial", session.id, seconds * 1000 + OVER_MS)
  fields.app, fields.session, fields.timeout = session.app, session.id, seconds
  return send(session.node, "dial", fields)
end

-- Has the node connect a call to the number that its session has, which has `seconds` to answer.
local function send_transfer(session, uid, permission, seconds)
  expect(session.node, "transfer", session.id, seconds * 1000 + OVER_MS)
  send_call_command(session, "transfer", uid, { to = session.transfer_to, caller_id = session.transfer_from,
    gateway = permission.gateway, max_seconds = permission.max_seconds, timeout = seconds,
    leg = session.transfer_leg })
end

-- Whether the node has been told to connect the call to a number; then it may know the call to that.
local function is_transfer_sent(session)
  return session.transfer_leg ~= nil
    and not (session.transfer_job and is_untaken(session.node, session.transfer_job))
end

-- Whether the node has not been told to call.
local function is_dial_waiting(session)
  return session.dial_job ~= nil and is_untaken(session.node, session.dial_job)
end
