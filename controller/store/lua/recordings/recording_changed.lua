-- The node says that a recording was `paused`, or `resumed`.
-- args: node recording_id done
-- needs: node_fence recordings

if fenced() then return refusal("fenced") end
local recording = get_recording(args.recording_id)
if not recording or recording.node ~= args.node then return cjson.encode({ unknown = true }) end
local found = recording.change == args.done and confirmation(args.done, recording.change_job) or {}
recording_changed(recording, args.done)
return cjson.encode(found)
