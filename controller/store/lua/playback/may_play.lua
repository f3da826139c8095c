-- Whether a play with URLs of so many bytes (`url_bytes`) would be refused now: asked before they are looked at closer.
-- Changes nothing.
-- args: url_bytes
-- needs: playable

local _, no = playable_room(args.url_bytes)
return no or "{}"
