-- Whether a play with URLs of so many bytes (`url_bytes`) would be refused now. Asked before their names are resolved;
-- changes nothing.
-- args: url_bytes
-- needs: playable

local _, refused = playable_room(args.url_bytes)
return refused or "{}"
