-- Digits of a caller that the app collects: until there are enough, one of them ends it, none comes in time, another
-- collection begins, or the call ends. The session's record has what there is of one, `collected`, while it goes on.
-- needs: node_commands outbox

local function end_collection(session, reason, terminator)
  local before = act_for({ actor = session.collect_actor, trace = session.collect_trace })
  local data = { digits = session.collected, reason = reason, terminator = terminator }
  data.command_uid = session.collect_uid
  confirmed(session.node, "digits", session.id)
  clear(keys.session(session.id), session, "collected", "max_digits", "terminators", "digit_timeout_ms", "collect_uid",
    "collect_actor", "collect_trace")
  emit_session(session, "session.digits.collected", data)
  act_for(before)
end

-- The caller has pressed a key while digits are collected.
local function collect(session, digit)
  if string.find(session.terminators, digit, 1, true) then return end_collection(session, "terminator", digit) end
  change(keys.session(session.id), session, { collected = session.collected .. digit })
  if #session.collected >= tonumber(session.max_digits) then return end_collection(session, "max_digits") end
  expect(session.node, "digits", session.id, tonumber(session.digit_timeout_ms))
end
