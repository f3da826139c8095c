-- include: access describe
local s, no = own_session(A.session_id)
if no then return no end
local limit = limited()
if limit then return limit end
return cjson.encode(describe_session(s))
