-- A session of the app. With the id of the operation that is played to it (`playing_id`, "" for none), and how many
-- files that has from the one on that plays, or comes next (`playing_left`).
-- args: session_id
-- needs: access sessions

local session, refused = own_session(args.session_id)
if refused then return refused end
local described = describe_session(session)
described.playing_id, described.playing_left = session.play_operation or "", cjson.null
if session.play_operation then
  local total, settled = unpack(redis.call("HMGET", keys.operation(session.play_operation), "total", "settled"))
  described.playing_left = total and total - settled or cjson.null
end
return cjson.encode(described)
