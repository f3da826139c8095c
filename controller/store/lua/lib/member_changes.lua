-- What the node says that has changed of a member, by a command or its operator's hand.
-- args: session_id room_id member_id
-- needs: node_fence members

-- The room of a member, if it is there. It is read whole only for what others in it may have to do next: a command to
-- all, or those that wait.
local function room_of(session, changed_to)
  if session[changed_to.pending_operation] or session.waiting then return get_room(session.room) end
  local app = redis.call("HGET", keys.room(session.room), "app")
  return app and { id = session.room, app = app }
end

-- Field `name` of a member is `value` now, or the node says so again of one that was so already. `changed_to`: the row
-- of CHANGES. It confirms a pending command, but for one that asked for another value.
local function member_changed(changed_to, name, value)
  if fenced() then return refusal("fenced") end
  local session = get_session(args.session_id)
  local is_member = session and session.room == args.room_id and session.member_id == tostring(args.member_id)
  local room = is_member and room_of(session, changed_to)
  if not room then return cjson.encode({ unknown = true }) end
  local asked = session[changed_to.pending_value] or tostring(value)
  local confirms = session[changed_to.pending_job] ~= nil and asked == tostring(value)
  if confirms then act_for(pending_origin(session, changed_to)) end
  log("event", changed_to.action, { app = session.app, room = room.id, session = session.id })
  local is_new = (session[name] or "0") ~= tostring(value)
  if not (is_new or confirms) then return cjson.encode({ known = true }) end

  change(keys.session(session.id), session, { [name] = value })
  local found, operation, uid = {}, session[changed_to.pending_operation], session[changed_to.pending_uid]
  if confirms then
    found = confirmation(changed_to.command, session[changed_to.pending_job])
    forget_pending(session, changed_to)
  end
  if name == "hold" then hold_changed(room, session) end
  if is_new or operation ~= SETTLING then
    local data = member_data(session)
    data.command_uid = confirms and uid or nil
    emit_member(room, changed_to.webhook, data, session)
  end
  member_done(room, session, operation)
  return cjson.encode(found)
end
