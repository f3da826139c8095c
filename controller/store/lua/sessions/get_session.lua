-- A session of the app.
-- args: session_id
-- needs: access sessions

local session, no = own_session(args.session_id)
if no then return no end
return cjson.encode(describe_session(session))
