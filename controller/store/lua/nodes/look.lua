-- How much there is of a node in this partition, and whether overdue.lua is to be run: { load, calls, due,
-- speaker_rooms }, how many sessions and rooms there are, how many are sessions, whether anything is overdue or may be
-- late, and the rooms on the node of which it is told who speaks in them. A worker asks every second or so, and mostly
-- nothing is due: overdue.lua has nearly all libraries, and takes several times as long to find that.
-- args: node
-- needs: node_fence node_commands
-- lists: speaker_rooms

if fenced() then return refusal("fenced") end
local calls = redis.call("SCARD", keys.node_sessions(args.node))
local speaker_rooms = redis.call("SINTER", keys.speaker_rooms(), keys.node_rooms(args.node))
local latest = NOW + CONFIRM_MS - LATE_MS
return cjson.encode({ speaker_rooms = as_list(speaker_rooms),
  due = #redis.call("ZRANGEBYSCORE", keys.due(args.node), "-inf", latest, "LIMIT", 0, 1) > 0,
  calls = calls, load = calls + redis.call("SCARD", keys.node_rooms(args.node)) })
