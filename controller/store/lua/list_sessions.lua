-- include: access describe
-- Sessions of the app: A.state, A.room and A.did narrow them.
local SCAN = 200

local narrowed = A.state or A.room or A.did
return page(K.sessions(A.app_id), function(id)
  local s = get_session(id)
  if not s or (A.state and s.state ~= A.state) or (A.room and s.room ~= A.room) or (A.did and s.did ~= A.did) then
    return nil
  end
  return describe_session(s)
end, narrowed and SCAN)
