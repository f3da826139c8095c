-- Commands to turn a flag of a member on or off.
-- needs: sessions

-- The change that turns a flag on, or off, and its opposite.
local function change_of(flag, on)
  if on then return flag.on, flag.off end
  return flag.off, flag.on
end

-- Why such a command is refused, if it is. The opposite may be pending, but for a flag that `waits`: each command ends
-- by itself, in the order of the node's events, which is that of its commands.
local function why_not(session, flag, on)
  local change_to, opposite = change_of(flag, on)
  if session[change_to.pending_job] then return change_to.refused_pending end
  if session[opposite.pending_job] then return flag.waits and opposite.refused_pending or nil end
  return has_flag(session, flag) == on and change_to.refused_already or nil
end
