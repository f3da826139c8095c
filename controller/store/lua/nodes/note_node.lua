-- Adds a `note` (JSON) to a node's history (KEYS[1] is the node's tag). The oldest go.
-- args: note

local MAX_NOTES = 100

redis.call("XADD", keys.history(), "MAXLEN", MAX_NOTES, "*", "note", args.note)
return "{}"
