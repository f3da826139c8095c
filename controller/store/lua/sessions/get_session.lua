-- include: access describe
local s, no = own_session(args.session_id)
if no then return no end
return cjson.encode(describe_session(s))
