-- What the commands about recordings share.
-- args: command command_uid?
-- needs: command_uids quotas recordings

-- Refuses a new recording for which the app's quotas have no room.
local function refuse_more_recordings()
  for _, quota in ipairs(RECORDING_QUOTAS) do
    local refused = exceeded(quota, 1)
    if refused then return refused end
  end
  return exceeded("webhook_bytes", 0)
end

-- Answers a command that is accepted.
local function accept_recording(recording, status)
  log("command", args.command, { app = recording.app, room = recording.room, session = recording.session,
    recording = recording.id, command_uid = args.command_uid })
  local answer = cjson.encode({ recording_id = recording.id, status = status })
  keep_answer(answer)
  return answer
end
