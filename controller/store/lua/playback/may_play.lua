-- include: access playable
-- Whether a play with URLs of args.url_bytes would be refused now: asked before they are looked at closer. Changes nothing.
local _, no = playable_room(args.url_bytes)
return no or "{}"
