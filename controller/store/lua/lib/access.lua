-- An app's own rooms and sessions, and how a command of the API is refused.
-- args: app_id command? room_id? session_id? name? webhook_id? command_uid? to? caller_id?
-- needs: sessions

-- Refuses. A command (a query has no args.command) leaves a line in the event log, unless it came too often: such lines
-- would fill the log. A room that was not created is logged by its name.
local function refuse(code, detail)
  if args.command and code ~= "rate_limited" then
    log("refused", args.command, { app = args.app_id, room = not args.name and args.room_id or nil,
      session = args.session_id, name = args.name, to = args.to, caller_id = args.caller_id,
      webhook = args.webhook_id, command_uid = args.command_uid, reason = code, detail = detail })
  end
  return refusal(code, detail)
end

-- The app's own room, or nil and the refusal.
local function own_room(id)
  local room = get_room(id)
  if not room or room.closing then return nil, refuse("room_not_found") end
  if room.app ~= args.app_id then return nil, refuse("room_forbidden") end
  return room
end

-- Refuses, by the session's state, what only a call takes that is parked or a member.
local function refuse_busy(session)
  local state = session.state
  if state == SESSION.dialing then return refuse("still_dialing") end
  if state == SESSION.joining then return refuse("still_joining") end
  if state == SESSION.leaving then return refuse("leaving") end
  if state == SESSION.transferring then return refuse("transferring") end
  if state == SESSION.transferred then return refuse("transferred") end
end

-- The app's own session, or nil and the refusal.
local function own_session(id)
  local session = get_session(id)
  if not session then return nil, refuse("session_not_found") end
  if session.app ~= args.app_id then return nil, refuse("session_forbidden") end
  return session
end
