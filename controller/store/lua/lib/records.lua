-- How a script that works on many records gets past one that is broken: that lacks a field, say, or is no JSON.

-- The records that could not be worked on, each { id, why }. They are in the script's reply, and the store logs them.
local broken = empty_each_step({})

-- Calls `action` with what follows it. Returns whether it succeeded, and what it returned.
local function try(id, action, ...)
  local before = origin
  local succeeded, found = pcall(action, ...)
  act_for(before)
  if not succeeded then broken[#broken + 1] = { id, type(found) == "table" and found.err or tostring(found) } end
  return succeeded, found
end

-- A field of a record that is a text. Raises an error if it is none, or missing.
local function text_in(record, field)
  return type(record[field]) == "string" and record[field] or error(field .. " is missing", 2)
end

-- A field of a record that is a whole number of so many digits at the most. Raises an error if it is none.
local function number_in(record, field, digits)
  local found = string.match(record[field] or "", "^%d+$")
  return found and #found <= digits and tonumber(found) or error(field .. " is no number", 2)
end
