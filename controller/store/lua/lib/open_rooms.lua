-- Whether the app may have a session join a room.
-- needs: access joins

-- Refuses while nobody may join the room.
local function refuse_closed(room)
  local code, detail = why_not_open(room)
  if code == "room_locked" then return refuse("room_locked") end
  if code then return refuse("room_full", detail) end
end
