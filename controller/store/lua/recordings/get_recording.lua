-- Replies with a recording of the app.
-- args: recording_id
-- needs: describe_recording

local recording, refused = own_recording(args.recording_id)
return refused or cjson.encode(describe_recording(recording))
