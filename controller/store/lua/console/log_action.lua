-- Writes into the event log what the `actor` has done that no other script tells of. `about`: further fields.
-- args: action about

log("command", args.action, args.about)
return "{}"
