-- The steps of a session's state.
-- needs: node_commands

-- Sets a session's state, to which a step has led, and other fields.
local function set_state(session, state, fields)
  fields = fields or {}
  fields.state = state
  change(keys.session(session.id), session, fields)
  log("state", "session." .. state, { app = session.app, room = session.room, session = session.id })
end

local function step_session(session, event, fields)
  set_state(session, step("SESSION", session.state, event), fields)
end

-- Has the node take a member out of its room. `fields`: of the command, as the session's record has them.
local function let_go(session, fields)
  fields.actor, fields.trace = origin.actor, origin.trace
  step_session(session, "leave", fields)
  change(keys.session(session.id), session, { job = send_about(session, "kick", "leave") })
end
