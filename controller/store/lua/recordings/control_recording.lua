-- Has the node pause a recording, resume it, or stop it (`step`).
-- args: app_id recording_id step command_uid?
-- needs: describe_recording limits recording_commands

local DONE = { pause = "paused", resume = "resumed" }

local recording, instead = own_recording(args.recording_id)
if instead then return instead end
instead = first_answer() or limited(recording.id, recording.node)
if instead then return instead end
if not GOES_ON[recording.state] then return refuse("recording_over") end
local done, refused = DONE[args.step], nil
if done then
  if recording.state == RECORDING.starting then return refuse("recording_starting") end
  if recording.change then return refuse("recording_pending") end
  if done == "paused" and recording.state == RECORDING.paused then return refuse("already_paused") end
  if done == "resumed" and recording.state == RECORDING.recording then return refuse("not_paused") end
  refused = exceeded("webhook_bytes", 0)
  if refused then return refused end
  send_recording_change(recording, done, args.command_uid)
else
  stop_recording(recording, "asked", args.command_uid)
end
start_cooldown(recording.id)
return accept_recording(recording, done or "stopping")
