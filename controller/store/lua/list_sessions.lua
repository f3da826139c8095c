-- include: access describe
local limit = limited()
if limit then return limit end
return page(K.sessions(A.app_id), function(id)
  local s = get_session(id)
  return s and describe_session(s)
end)
