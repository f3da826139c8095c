-- A comparison has found calls that are no sessions: they become sessions, and those in a room its members, as by the
-- events that were missed. `calls`: as SessionFound in controller/nodes/events.py. `rejected`: why some of them become
-- none, by their session_id.
-- args: calls
-- needs: endings joined node_fence parked records

local function come(call, found)
  local is_known = has_begun(call.session_id)
  local session
  if is_known then
    session = get_session(call.session_id)
    if not session then return end -- It has ended.
    found.rooms = {} -- It may be in one of them, which changes when it leaves.
  else
    session = begin_parked(call.session_id, call.channel, call.did, call.caller_id)
    if not session then
      found.rejected[call.session_id] = "quota_exceeded"
      return
    end
  end
  if call.room_id == "" then return end
  if not is_known then found.rooms[call.room_id] = found.rooms[call.room_id] or get_room(call.room_id) end
  session_joined(session, call, found.rooms[call.room_id])
end

if fenced() then return refusal("fenced") end
local found = { rooms = {}, rejected = {} }
for _, call in ipairs(args.calls) do try(call.session_id, come, call, found) end
return reply({ rejected = found.rejected, broken = as_list(broken) })
