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
  local entry = session.dial_job and entry_of_job(session.dial_job)
  return entry and #redis.call("XRANGE", keys.commands(session.node), entry, entry) > 0
end

-- Takes the command to call back, if the node has not been told. Returns whether it has not.
local function take_back_dial(session)
  if not is_dial_waiting(session) then return false end
  redis.call("XDEL", keys.commands(session.node), entry_of_job(session.dial_job))
  confirmed(session.node, "job", session.dial_job)
  return true
end
