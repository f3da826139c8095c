-- Commands to turn a flag of a member on or off.
-- needs: member_webhooks node_commands sessions

local REFUSED_PLAYING = "already_playing"

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
  -- What it hears on hold would stand behind what is played to it, and be stopped with it.
  local is_played_to = session.play_operation or session.play_flight or session.play_stopping
  if change_to.command == CHANGES.hold.command and is_played_to then return REFUSED_PLAYING end
  return has_flag(session, flag) == on and change_to.refused_already or nil
end

-- Changes a flag of a member, as send_change does. Returns whether the node is to confirm it. Not so of one that is
-- kept out (lib/kept_out.lua): it is muted and deaf on its node, and later gets the flags that its record has by then.
local function change_flag(session, flag, on, more)
  local changed_to = change_of(flag, on)
  if not (session.kept_out and flag.joins) then
    send_change(session, changed_to, more)
    return true
  end
  change(keys.session(session.id), session, { [flag.name] = on and 1 or 0 })
  local data = member_data(session)
  data.command_uid = more.uid
  emit_member({ app = session.app, id = session.room }, changed_to.webhook, data, session)
  return false
end
