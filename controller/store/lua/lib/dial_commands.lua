-- The command to a node to make a call.
-- needs: node_commands

local OVER_MS = 20000 -- after the time for which it may ring, when it must have been answered or have failed

-- Has the node call, and gives it `seconds` to be answered.
local function send_dial(session, fields, seconds)
  expect(session.node, "dial", session.id, seconds * 1000 + OVER_MS)
  fields.app, fields.session, fields.timeout = session.app, session.id, seconds
  return send(session.node, "dial", fields)
end

-- Whether the node has not been told to call.
local function is_dial_waiting(session)
  return session.dial_job ~= nil and is_untaken(session.node, session.dial_job)
end
