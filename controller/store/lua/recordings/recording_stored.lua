-- A node has sent the file of a recording to a relay, which has it in its folder `holder`. Replies { kept }: whether it
-- stays there. A node may send it twice, also to another relay, if it missed the first answer.
-- args: recording_id holder size length_ms keep_ms
-- needs: recording_files

local function take(recording)
  if not recording or recording.deleted then return false end
  if recording.state ~= RECORDING.storing then return recording.holder == args.holder end
  act_for(recording)
  local about = { size = args.size, length_ms = args.length_ms }
  if args.length_ms == 0 then
    fail_recording(recording, "file_lost")
    return false
  end
  about.holder = args.holder
  use(recording.app, "recording_bytes", args.size)
  if recording.upload_url then
    about.attempts = 0
    step_recording(recording, "upload", about)
    redis.call("ZADD", keys.kept(recording.holder), NOW, recording.id)
    keep_until(recording, NOW + args.keep_ms)
  else
    recording.holder = args.holder
    keep_file(recording, "stored", about)
    emit_available(recording)
  end
  return true
end

return cjson.encode({ kept = take(get_recording(args.recording_id)) })
