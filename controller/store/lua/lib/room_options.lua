-- A room's options (controller/room_options.py), how full it has been, and when it ends by itself.
--
-- How it works: the next end of a room that has one is an item of its source's `due`. When it comes, overdue.lua looks
-- whether it is really due, and looks again later if not. So only what can bring the end nearer has to plan it anew.
-- needs: node_commands recordings sessions kept_out

local function is_locked(room) return room.locked == "1" end

local NO_TEXTS = "[]"

-- An option that is a number, nil while it is not limited.
local function option(room, name) return tonumber(room[name]) end

-- An option as it is shown, by its kind. Texts that are none are left out (`lists` in the head of a file).
local VALUE = { number = function(room, name) return option(room, name) or cjson.null end }
function VALUE.switch(room, name) return room[name] == "1" end
function VALUE.role(room, name) return room[name] or cjson.null end
VALUE.url, VALUE.beep = VALUE.role, VALUE.role
function VALUE.texts(room, name) return as_list(cjson.decode(room[name] or NO_TEXTS)) end

-- Adds a room's options to `fields`, by their names.
local function with_options(room, fields)
  for name, kind in pairs(ROOM_OPTIONS) do fields[name] = VALUE[kind](room, name) end
  return fields
end

-- Lists a room by some tags (JSON), or no more.
local function list_by(room, tags, is_listed)
  local place = is_listed and redis.call("ZSCORE", keys.rooms(room.app), room.id)
  for _, tag in ipairs(cjson.decode(tags)) do
    local key = keys.tagged(room.app, tag)
    if place then redis.call("ZADD", key, place, room.id) else redis.call("ZREM", key, room.id) end
  end
end

-- An option as it is stored; nil for what is not limited, off, or empty.
local function as_stored(value)
  if type(value) == "number" then return string.format("%.0f", value) end
  if type(value) == "string" and value ~= NO_TEXTS then return value end
  return value == true and "1" or nil
end

-- What else an option sets, by its name. `before`: as it was stored.
local ALSO = {}

function ALSO.tags(room, before)
  list_by(room, before or NO_TEXTS, false)
  list_by(room, tags_of(room), true)
end

function ALSO.speaker_events(room)
  redis.call(room.speaker_events and "SADD" or "SREM", keys.speaker_rooms(), room.id)
  clear(keys.room(room.id), room, "floor")
end

-- Who is in the room and waits is let in.
function ALSO.wait_for_moderator(room) let_more_in(room, AT_ONCE) end

ALSO.record = record_anew

-- Why the file before was not heard is of no account any more.
function ALSO.beep_enter(room) clear(keys.room(room.id), room, "beep_enter_failed") end
function ALSO.beep_exit(room) clear(keys.room(room.id), room, "beep_exit_failed") end

-- Sets the options that are given; `null` is for no limit, and texts are JSON. Returns whether any is another than
-- before.
local function set_options(room, given)
  local has_changed = false
  for name, value in pairs(given) do
    local key, before, stored = keys.room(room.id), room[name], as_stored(value)
    if before ~= stored then
      if stored then change(key, room, { [name] = stored }) else clear(key, room, name) end
      if ALSO[name] then ALSO[name](room, before) end
      has_changed = true
    end
  end
  return has_changed
end

-- Whether the room ends when the last one like this session leaves: the session said so, or its role does.
local function is_kept_by(room, session)
  return ends_on_exit(session) or room.end_on_exit == role_of(session)
end

-- Whether any such session is in the room, or joining it.
local function is_kept(room)
  if redis.call("SCARD", keys.enders(room.id)) > 0 then return true end
  local moderators = redis.call("SCARD", keys.moderators(room.id))
  if room.end_on_exit == "moderator" then return moderators > 0 end
  -- Who joined before there were roles is a participant, and in no set of its own.
  return room.end_on_exit ~= nil and redis.call("SCARD", keys.present(room.id)) > moderators
end

-- Adds to `fields` how many seconds ago the first member joined, and the most members that there were. A room of
-- version 0.1 does not know.
local function with_summary(room, fields)
  local now = math.floor(NOW / 1000)
  fields.duration = math.max(0, now - (tonumber(room.started_at) or now))
  fields.peak_members = tonumber(room.peak_members) or 0
  return fields
end

-- A member has joined. The room has so many now.
local function note_members(room, count)
  if not room.started_at then change(keys.room(room.id), room, { started_at = math.floor(NOW / 1000) }) end
  if count > (tonumber(room.peak_members) or 0) then change(keys.room(room.id), room, { peak_members = count }) end
end

-- When (ms) the room ends by itself as things are, and why; nil if it does not.
local function next_end(room)
  local empty, most = option(room, "end_when_empty"), option(room, "max_duration")
  local at, why
  if empty and redis.call("SCARD", keys.present(room.id)) == 0 then
    at, why = (tonumber(room.empty_since) or NOW) + empty * 1000, "empty"
  end
  local ends = most and room.started_at and (tonumber(room.started_at) + most) * 1000
  if ends and not (at and at < ends) then at, why = ends, "max_duration" end
  return at, why
end

local function plan_end(room)
  local at = not room.closing and next_end(room)
  if at then expect(room.node, "expiry", room.id, at - NOW) else confirmed(room.node, "expiry", room.id) end
end

-- Nobody is in the room from now on.
local function note_empty(room)
  if not room.closing and redis.call("SCARD", keys.present(room.id)) == 0 then
    change(keys.room(room.id), room, { empty_since = NOW })
    clear(keys.room(room.id), room, "begun")
    plan_end(room)
  end
end
