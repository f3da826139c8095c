-- How the scripts run of which several are called at once (controller/store/scripts.py): as many steps as there are
-- arguments, one after the other, each the function that `each` gets. Most of what a short step takes is to make the
-- functions and tables above, which is done once for all of them.

-- The error of a step, which says that a script failed as the store says it.
local function message(found)
  local text = type(found) == "table" and found.err or tostring(found)
  return string.find(text, "user_script", 1, true) and text or "user_script: " .. text
end

local function each(carry_out)
  if #ARGV == 1 then return carry_out() end
  local replies = {}
  for i, text in ipairs(ARGV) do
    begin_step(text)
    local succeeded, found = pcall(carry_out)
    replies[i] = succeeded and found or { err = "ERR " .. message(found) }
  end
  return replies
end
