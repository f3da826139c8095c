-- A session of the app.
-- args: session_id
-- needs: access sessions

local session, refused = own_session(args.session_id)
if refused then return refused end
return cjson.encode(describe_session(session))
