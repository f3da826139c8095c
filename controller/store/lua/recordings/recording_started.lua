-- The node says that it records, or that it cannot write the file (`failed`).
-- args: node recording_id failed?
-- needs: node_fence recordings

if fenced() then return refusal("fenced") end
local recording = get_recording(args.recording_id)
if not recording or recording.node ~= args.node then return cjson.encode({ unknown = true }) end
act_for(recording)
log("event", "start-recording", { app = recording.app, room = recording.room, session = recording.session,
  recording = recording.id })
local is_new = recording.state == RECORDING.starting
local found = is_new and confirmation("record", recording.job) or {}
if args.failed then
  if is_new or recording.state == RECORDING.stopping then
    fail_recording(recording, "write_failed", { command_uid = recording.uid })
  end
else
  recording_started(recording)
end
return cjson.encode(found)
