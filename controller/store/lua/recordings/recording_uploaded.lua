-- What came of an attempt to put a recording to its app's URL, by the relay with the folder `holder`: the URL's server
-- has it, or there is another attempt in `delay_ms`, or none. `http_status`: of its response, if there was one. Replies
-- { is_gone }: whether the file is to be removed.
-- args: recording_id holder attempt is_success http_status? delay_ms?
-- needs: recording_files

local function settle(recording)
  if not recording or recording.state ~= RECORDING.uploading or recording.holder ~= args.holder
    or tonumber(recording.attempts) ~= args.attempt then return false end
  act_for(recording)
  if args.is_success then
    step_recording(recording, "uploaded", { uploaded = 1 })
    clear(keys.recording(recording.id), recording, "http_status")
    emit_available(recording)
    release_file(recording)
    forget_recording_later(recording)
    return true
  end
  if args.http_status then change(keys.recording(recording.id), recording, { http_status = args.http_status }) end
  if args.delay_ms then
    change(keys.recording(recording.id), recording, { next_at = NOW + args.delay_ms })
    redis.call("ZADD", keys.kept(args.holder), NOW + args.delay_ms, recording.id)
  else
    keep_file(recording, "failed", { reason = "upload_failed" })
    emit_recording(recording, "failed", { reason = recording.reason, http_status = args.http_status })
  end
  return false
end

return cjson.encode({ is_gone = settle(get_recording(args.recording_id)) })
