-- Has the node pause a recording, resume it, or stop it (`step`).
-- args: app_id command recording_id step command_uid?
-- needs: limits command_uids quotas recordings

local OVER = { stopping = true, storing = true, uploading = true, available = true, expired = true,
  failed = true }
local DONE = { pause = "paused", resume = "resumed" }

local recording = get_recording(args.recording_id)
if not recording or recording.app ~= args.app_id or recording.deleted then return refuse("recording_not_found") end
local instead = first_answer() or limited(recording.id, recording.node)
if instead then return instead end
if OVER[recording.state] then return refuse("recording_over") end
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
log("command", args.command, { app = recording.app, room = recording.room, session = recording.session,
  recording = recording.id, command_uid = args.command_uid })
local answer = cjson.encode({ recording_id = recording.id, status = args.step == "stop" and "stopping" or done })
keep_answer(answer)
return answer
