-- Hang-ups of calls that the app makes: they may come to the node before it has begun to make the call.
-- needs: node_commands

local MAX_HANG_UPS = 10 -- tries
local RETRY_MS = 1000 -- before the next, when the node has no such call

-- Has the node end the call once more, as it was told before.
local function hang_up_again(session)
  local before = act_for({ actor = session.hang_up_actor, trace = session.hang_up_trace })
  expect(session.node, "hang_up", session.id, CONFIRM_MS + 1)
  local job = send(session.node, "hang_up", { app = session.app, session = session.id, cause = session.hang_up_cause })
  change(keys.session(session.id), session, { hang_up_job = job, hang_up_tries = (session.hang_up_tries or 1) + 1 })
  act_for(before)
end

-- The node has no such call. If it has been told to make one, it will have it in a moment.
local function retry_hang_up(session)
  if session.state == SESSION.dialing then expect(session.node, "hang_up", session.id, RETRY_MS) end
end

-- Another try at a call that is yet to be made, if there is one left.
local function is_hung_up_again(session)
  if session.state ~= SESSION.dialing or tonumber(session.hang_up_tries or 1) >= MAX_HANG_UPS then return false end
  hang_up_again(session)
  return true
end
