-- What the commands about recordings share.
-- args: command command_uid?
-- needs: command_uids quotas

-- Refuses a new recording for which the app's quotas have no room.
local function refuse_more_recordings()
  return exceeded("recordings", 1) or exceeded("recording_bytes", 1) or exceeded("webhook_bytes", 0)
end

-- Answers a command that is accepted.
local function accept_recording(recording, status)
  log("command", args.command, { app = recording.app, room = recording.room, session = recording.session,
    recording = recording.id, command_uid = args.command_uid })
  local answer = cjson.encode({ recording_id = recording.id, status = status })
  keep_answer(answer)
  return answer
end
