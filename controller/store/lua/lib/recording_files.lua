-- The file of a recording at a relay, from when it came until it is removed. What is due of the files that a relay's
-- folder holds is in `kept`: an upload to be tried, or the end of the file's time.
-- args: keep_ms?
-- needs: recordings

-- The relay no longer holds the file, or is about to remove it.
local function release_file(recording)
  redis.call("ZREM", keys.kept(recording.holder), recording.id)
  use(recording.app, "recording_bytes", -tonumber(recording.size))
  clear(keys.recording(recording.id), recording, "holder", "upload_url", "next_at", "expires_at")
end

-- A file is the relay's to look after until then, and for some time longer, as a relay may be away. If it never comes
-- back, the recording is forgotten nevertheless.
local function keep_until(recording, at)
  redis.call("ZADD", keys.recording_ends(), at + 2 * RECORD_MS, recording.id)
end

-- The file can be fetched from now on, for its time. The webhook says so, or why it is not where it should be.
local function keep_file(recording, event, fields)
  fields.expires_at = NOW + args.keep_ms
  step_recording(recording, event, fields)
  redis.call("ZADD", keys.kept(recording.holder), fields.expires_at, recording.id)
  keep_until(recording, fields.expires_at)
end

local function emit_available(recording)
  emit_recording(recording, "available", { duration = seconds_of(recording.length_ms), size = tonumber(recording.size),
    uploaded = recording.uploaded == "1" })
end
