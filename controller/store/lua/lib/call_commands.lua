-- Commands about a call itself, in a room or not, until its node has done them: dial, transfer, hang_up and dtmf, one
-- of each at once.
-- needs: node_commands outbox

-- The node has yet to carry out `op`, by that job, for whoever gave it that `uid`, if any.
local function note_call_command(session, op, uid, job)
  change(keys.session(session.id), session, { [op .. "_job"] = job, [op .. "_uid"] = uid,
    [op .. "_actor"] = origin.actor, [op .. "_trace"] = origin.trace })
end

-- The node is to carry out `op`, with more `fields`, for whoever gave it that `uid`, if any.
local function send_call_command(session, op, uid, fields)
  fields.app, fields.room, fields.session = session.app, session.room, session.id
  note_call_command(session, op, uid, send(session.node, op, fields))
end

-- The node has done it, or will not. From here on the script acts on behalf of whoever asked for it. Returns the
-- command_uid, and the origin before.
local function forget_call_command(session, op)
  local uid = session[op .. "_uid"]
  local before = act_for({ actor = session[op .. "_actor"], trace = session[op .. "_trace"] })
  confirmed(session.node, op, session.id)
  clear(keys.session(session.id), session, op .. "_job", op .. "_uid", op .. "_actor", op .. "_trace")
  return uid, before
end

local function call_command_failed(session, op, reason)
  local uid, before = forget_call_command(session, op)
  emit_session(session, "session.command.failed", { command = op, command_uid = uid, reason = reason })
  act_for(before)
end
