-- Has a node call a number. The session is `new_session`, the call's uuid on the node `channel`. With `room_id` it
-- joins that room when it is answered, with these `flags`, by their names, `levels` and `tags` (as join.lua has them),
-- `role` and `end_on_exit`.
-- args: app_id command to caller_id timeout permission new_session? channel? node? room_id? flags levels? role tags
-- args: end_on_exit? command_uid?
-- needs: command_uids dial_commands dial_permission limits open_rooms quotas session_begins

local refused = not_allowed()
if refused then return refused end
local room
if args.room_id then
  room, refused = own_room(args.room_id)
  if refused then return refused end
end
local first = first_answer()
if first then return first end
refused = cooling_down(dialled_number()) or beyond_limits()
if refused then return refused end
if not args.node then return refuse("no_node") end
refused = node_down(args.node) or room and refuse_closed(room)
  or exceeded("sessions", 1) or exceeded("webhook_bytes", 0)
if refused then return refused end

local session = { id = args.new_session, app = args.app_id, node = args.node, did = args.to,
  caller_id = args.caller_id, state = SESSION.dialing, direction = "outbound" }
begin_session(session, args.channel)
count_dial(session.app, session.id)
local job = send_dial(session, { to = session.did, caller_id = session.caller_id, gateway = args.permission.gateway,
  max_seconds = args.permission.max_seconds }, args.timeout)
note_call_command(session, "dial", args.command_uid, job)
if room then
  change(keys.session(session.id), session, { dial_room = room.id, dial_flags = table.concat(args.flags, " "),
    dial_levels = args.levels, dial_role = args.role, dial_tags = args.tags,
    dial_end_on_exit = args.end_on_exit and 1 or nil })
end
start_cooldown(dialled_number())
local answer = cjson.encode({ status = "dialing", session_id = session.id })
keep_answer(answer)
log("command", args.command, { app = args.app_id, room = args.room_id, session = session.id, to = args.to,
  caller_id = args.caller_id, command_uid = args.command_uid, answer = "dialing" })
emit_session(session, "session.dialing", { direction = session.direction, command_uid = args.command_uid })
return answer
