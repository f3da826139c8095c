-- Webhooks about the members of a room.
-- needs: outbox sessions

local function member_data(session)
  return with_flags(session, { uuid = session.id, did = session.did, caller_id = session.caller_id,
    member_id = tonumber(session.member_id), role = role_of(session), end_on_exit = ends_on_exit(session),
    waiting = is_waiting(session), coaching = coaching_of(session) })
end

-- Emits a webhook about a member. `data`: that of member_data, and more.
local function emit_member(room, type, data, session)
  emit_room(room, type, data, '"tags":' .. tags_of(session))
end
