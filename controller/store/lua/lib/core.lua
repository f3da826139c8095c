-- What every script has: its arguments, the clock, states, records, the event log, and what apps use. `actor`, `trace`:
-- who sent the command that the script carries out, and the W3C traceparent of its request, as far as known.
-- args: actor? trace?

-- Of the step: its arguments, on whose behalf it acts (the `actor` and `trace` of the command from which follows what
-- it does), and what time it is, in us and in ms.
local args, origin, NOW_US, NOW
local MAX_LOG_ENTRIES = 20000 -- kept for each partition, approximately
local WEBHOOK_BYTES = 500 -- that an undelivered webhook takes besides its data, approximately

-- Has a collection of garbage take more steps. The server begins one every 50, and each goes through all that is
-- defined, which is far more than what a step leaves: it was a tenth of the steps' CPU. Not every server has it.
pcall(function() collectgarbage("setstepmul", 50) end)

-- A list in a reply. cjson would make an object of an empty one: it is left out, and the store puts it back (`lists` in
-- the head of a file).
local function as_list(items) return #items > 0 and items or nil end

-- The reply of a script that refuses.
local function refusal(code, detail)
  return cjson.encode({ refused = code, detail = detail })
end

-- The state to which `event` leads from `state`. A step that the kind's table lacks is an error.
local function step(kind, state, event)
  local steps = STEPS[kind][state]
  return steps and steps[event] or error(kind .. ": no step from " .. tostring(state) .. " by " .. tostring(event), 2)
end

local function get(key)
  local flat = redis.call("HGETALL", key)
  if #flat == 0 then return nil end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  return record
end

local function change(key, record, fields)
  local flat = {}
  for name, value in pairs(fields) do
    record[name] = tostring(value)
    flat[#flat + 1], flat[#flat + 2] = name, value
  end
  if #flat > 0 then redis.call("HSET", key, unpack(flat)) end
end

local function clear(key, record, ...)
  for _, name in ipairs({ ... }) do record[name] = nil end
  redis.call("HDEL", key, ...)
end

local function get_room(id)
  local room = get(keys.room(id))
  if room then room.id = id end
  return room
end

local of_step = {} -- tables that are empty when a step begins

-- Has a table, which is empty now, be so when each step begins: what is made when the library is loaded is there for
-- good.
local function empty_each_step(found)
  of_step[#of_step + 1] = found
  return found
end

-- Has a constant raise an error where it would be added to: all steps of all apps have the same.
local function freeze(constant)
  if type(constant) ~= "table" then return end
  for _, value in pairs(constant) do freeze(value) end
  if not getmetatable(constant) then
    setmetatable(constant, { __newindex = function(_, name) error(tostring(name) .. " is set in a constant", 2) end })
  end
end

-- Begins a step, in the partition of `its_tag`: `text` are its arguments.
local function begin(its_tag, text)
  tag, args = its_tag, cjson.decode(text)
  origin = { actor = args.actor, trace = args.trace }
  local clock = redis.call("TIME")
  NOW_US = clock[1] * 1000000 + clock[2]
  NOW = math.floor(NOW_US / 1000)
  for _, found in ipairs(of_step) do
    for name in pairs(found) do found[name] = nil end
  end
end

-- From here on the script acts on behalf of whoever `record` names: a command, or a session or operation that waits for
-- what follows from one. Returns the origin before, to go back to.
local function act_for(record)
  local before = origin
  origin = { actor = record.actor or nil, trace = record.trace or nil }
  return before
end

-- Adds a line to the event log. `fields` may hold app, room, session, operation and more. What follows them are more
-- fields of the entry, beside the line.
local function log(kind, type, fields, ...)
  fields.at, fields.kind, fields.type = NOW, kind, type
  fields.actor, fields.trace = origin.actor, fields.trace or origin.trace
  redis.call("XADD", keys.log(), "MAXLEN", "~", MAX_LOG_ENTRIES, "*", "e", cjson.encode(fields), ...)
end

-- Counts what an app uses of a quota.
local function use(app, quota, amount)
  redis.call("HINCRBY", keys.usage(app), quota, amount)
end

-- Quotas that are counted by their sets; `use` counts the others.
local COUNTED = {
  rooms = function(app) return redis.call("ZCARD", keys.rooms(app)) end,
  sessions = function(app) return redis.call("ZCARD", keys.sessions(app)) end,
  recordings = function(app) return redis.call("ZCARD", keys.recordings(app)) end,
}

-- How much an app uses of a quota.
local function used(app, quota)
  local count = COUNTED[quota]
  return count and count(app) or tonumber(redis.call("HGET", keys.usage(app), quota) or 0)
end
