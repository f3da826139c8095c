-- include: access describe
local s, no = own_session(A.session_id)
if no then return no end
return cjson.encode(describe_session(s))
