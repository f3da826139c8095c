-- Beeps in a room, when a member comes or goes. Played beside what plays, on the source, whose legs carry them on.
--
-- The file of one that is a URL is prepared before the command is taken (controller/nodes/plays.py). Meanwhile there is
-- no other beep. Where it cannot be had, or not soon, the tone takes its place, and why is told once.
-- args: resynced?
-- needs: node_commands outbox

local BEEP_MS = 500 -- within which those who come and go are one beep
local FILE_MS = 3000 -- within which a file is ready, or given up
local TONE = "tone"

local function send_beep(room, which, url)
  change(keys.room(room.id), room, { beeped_at = url and NOW + FILE_MS or NOW })
  send(room.node, "beep", { app = room.app, room = room.id, which = which, url = url })
end

-- `option`: the one that says whether the room beeps now, and how. What a comparison has found is over.
local function beep(room, option)
  local sound = room[option]
  local is_over = args.resynced or NOW < (tonumber(room.beeped_at) or 0) + BEEP_MS
  if not sound or is_over or room.closing then return end
  send_beep(room, string.match(option, "^beep_(%w+)$"), sound ~= TONE and sound or nil)
end

-- Reasons for which a beep was not heard that are not its file's: by now it would be too late.
local NOT_OF_FILE = { no_members = true, no_answer = true, node_unreachable = true }

-- A beep was played, or why not. One of a file that failed is followed by the tone.
local function beep_done(command, result)
  local room = command.url and get_room(command.room)
  if not room or room.closing then return end
  local option = "beep_" .. command.which
  local told = option .. "_failed" -- the reason that was told since the file was heard, or another was named
  if not result.ok and not NOT_OF_FILE[result.reason] and room[option] == command.url then
    send_beep(room, command.which)
    local reason = result.reason == "relay_lost" and "unplayable" or result.reason
    if room[told] ~= reason then
      change(keys.room(room.id), room, { [told] = reason })
      emit_room(room, "conference.command.failed", { command = option, reason = reason })
    end
  else
    change(keys.room(room.id), room, { beeped_at = NOW })
    if result.ok and room[option] == command.url then clear(keys.room(room.id), room, told) end
  end
end
