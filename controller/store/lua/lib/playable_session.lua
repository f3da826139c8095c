-- Whether URLs may be played to a session.
-- args: relay_up
-- needs: access limits quotas sessions

-- Refuses to play URLs of so many `bytes` to a session now.
local function refuse_play(session, bytes)
  local refused = limited(session.id, session.node)
  if refused then return refused end
  if not args.relay_up then return refuse("no_relay") end
  refused = refuse_busy(session)
  if refused then return refused end
  if session.play_operation then return refuse("already_playing") end
  -- What a member on hold hears stands before it at the node, and has no end.
  if has_flag(session, FLAGS.hold) or session[CHANGES.hold.pending_job] then return refuse("on_hold") end
  return exceeded("operations", 1) or exceeded("url_bytes", bytes) or exceeded("webhook_bytes", bytes)
end
