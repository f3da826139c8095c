-- What the API shows of a recording. Of its `upload_url`, which may be a secret, the host.
-- args: app_id
-- needs: access recordings

local function describe_recording(recording)
  return { recording_id = recording.id, room_id = recording.room, session_id = recording.session,
    state = recording.state, channels = tonumber(recording.channels or 1), reason = recording.reason,
    created_at = tonumber(recording.created_at), started_at = tonumber(recording.started_at),
    ended_at = tonumber(recording.ended_at), length_ms = tonumber(recording.length_ms), size = tonumber(recording.size),
    uploaded = recording.uploaded == "1", attempts = tonumber(recording.attempts),
    http_status = tonumber(recording.http_status), expires_at = tonumber(recording.expires_at),
    upload_host = recording.upload_url and string.match(recording.upload_url, "^%a+://([^/?#]*)"),
    holder = recording.holder }
end

-- The app's own recording, or nil and the refusal.
local function own_recording(id)
  local recording = get_recording(id)
  if recording and recording.app == args.app_id and not recording.deleted then return recording end
  return nil, refuse("recording_not_found")
end
