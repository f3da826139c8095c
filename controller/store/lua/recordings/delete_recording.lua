-- Deletes a recording, and its file wherever it is: the relay that holds it is told so, and the node once it has
-- stopped.
-- args: app_id recording_id command
-- needs: describe_recording recording_files

local recording, refused = own_recording(args.recording_id)
if refused then return refused end
log("command", args.command, { app = args.app_id, room = recording.room, session = recording.session,
  recording = recording.id })
if recording.holder then
  local holder = recording.holder
  release_file(recording)
  redis.call("ZADD", keys.kept(holder), NOW, recording.id)
  forget_recording(recording)
elseif STEPS.RECORDING[recording.state].failed or STEPS.RECORDING[recording.state].ended then
  discard_recording(recording)
else
  forget_recording(recording)
end
return cjson.encode({ recording_id = recording.id })
