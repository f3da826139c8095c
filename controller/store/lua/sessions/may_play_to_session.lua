-- Whether a play of so many bytes of URLs (`url_bytes`) to a session would be refused now. Asked before their names are
-- resolved; changes nothing.
-- args: session_id url_bytes
-- needs: playable_session

local session, refused = own_session(args.session_id)
return refused or refuse_play(session, args.url_bytes) or "{}"
