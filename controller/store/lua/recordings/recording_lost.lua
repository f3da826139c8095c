-- A recording's node is gone for good, and what it has recorded with it.
-- args: node recording_id
-- needs: node_fence recordings

if fenced() then return refusal("fenced") end
local recording = get_recording(args.recording_id)
if not recording or recording.node ~= args.node then return cjson.encode({ unknown = true }) end
recording_ended(recording, { reason = "node_lost" })
if recording.state == RECORDING.storing and not recording.deleted then fail_recording(recording, "node_lost") end
return "{}"
