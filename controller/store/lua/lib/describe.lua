local function describe_session(s)
  return with_flags(s, { session_id = s.id, did = s.did, caller_id = s.caller_id, state = s.state, room_id = s.room or "",
    member_id = tonumber(s.member_id) or cjson.null, started_at = tonumber(s.started_at) })
end
