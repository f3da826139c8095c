-- What a sweep of a node finds, and the end of one where nothing is due: most are, and what a script does not get to it
-- need not build up.
-- args: node
-- needs: node_fence node_commands

if fenced() then return refusal("fenced") end

local LATEST = NOW + CONFIRM_MS - LATE_MS -- what is due until then may be late

-- Adds to `fields` how much there is on the node.
local function with_load(fields)
  fields.calls = redis.call("SCARD", keys.node_sessions(args.node))
  fields.load = fields.calls + redis.call("SCARD", keys.node_rooms(args.node))
  fields.speaker_rooms = as_list(redis.call("SINTER", keys.speaker_rooms(), keys.node_rooms(args.node)))
  return fields
end

if redis.call("ZCOUNT", keys.due(args.node), "-inf", LATEST) == 0 then
  return cjson.encode(with_load({ more = false, late = false }))
end
