-- include: access describe
-- Sessions of the app: A.state, A.room and A.did narrow them.
local SCAN = 200

local narrowed = A.state or A.room or A.did
local function is_wanted(id)
  local s = redis.call("HMGET", K.session(id), "state", "room", "did")
  return (not A.state or s[1] == A.state) and (not A.room or s[2] == A.room) and (not A.did or s[3] == A.did)
end

return page(K.sessions(A.app_id), function(id)
  local s = (not narrowed or is_wanted(id)) and get_session(id)
  return s and describe_session(s)
end, narrowed and SCAN)
