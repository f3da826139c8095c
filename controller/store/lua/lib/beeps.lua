-- Beeps in a room, when a member comes or goes. Played beside what plays, on the source, whose legs carry them on.
-- args: resynced?
-- needs: node_commands

local BEEP_MS = 500 -- within which those who come and go are one beep

-- `option`: the one that says whether the room beeps now. What a comparison has found is over.
local function beep(room, option)
  local is_over = args.resynced or NOW < (tonumber(room.beeped_at) or 0) + BEEP_MS
  if not room[option] or is_over or room.closing then return end
  change(keys.room(room.id), room, { beeped_at = NOW })
  send(room.node, "beep", { app = room.app, room = room.id, which = string.match(option, "^beep_(%w+)$") })
end
