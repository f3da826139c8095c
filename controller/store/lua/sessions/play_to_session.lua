-- Plays URLs to a session alone. `urls`: each a JSON string as the app sent it.
-- args: command session_id operation_id urls command_uid?
-- needs: playable_session session_commands session_plays

local session, instead = own_call()
if instead then return instead end
local urls = table.concat(args.urls, ",")
local refused = refuse_play(session, #urls)
if refused then return refused end

local operation = { id = args.operation_id }
change(keys.operation(operation.id), operation, { app = session.app, session = session.id, total = #args.urls,
  bytes = #urls, next = 0, settled = 0, uid = args.command_uid, actor = origin.actor, trace = origin.trace })
redis.call("RPUSH", keys.urls(operation.id), unpack(args.urls))
use(session.app, "operations", 1)
use(session.app, "url_bytes", #urls)
change(keys.session(session.id), session, { play_operation = operation.id })
local answer = accept_new(session, "in_progress", { operation_id = operation.id })
emit_session(session, "session.play.started", { operation_id = operation.id, command_uid = args.command_uid },
  '"urls":[' .. urls .. "]")
play_next(session, operation)
return answer
