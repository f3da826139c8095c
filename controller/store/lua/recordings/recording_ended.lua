-- The node records no more. `length_ms` and `size` of the file, as far as they are known; `hung_up`: the call that was
-- recorded has ended; `node_lost`: the node has restarted since.
-- args: node recording_id length_ms? size? hung_up? node_lost?
-- needs: legs node_fence recordings

-- Why it has ended, if nobody has stopped it.
local function why_ended(recording)
  if args.node_lost then return "node_lost" end
  if args.hung_up then return "hangup" end
  local room = recording.room and get_room(recording.room)
  if recording.room and (not room or room.closing) then return "room_destroyed" end
  if room and is_source_empty(room) then return "room_emptied" end
  return "write_failed"
end

if fenced() then return refusal("fenced") end
local recording = get_recording(args.recording_id)
if not recording or recording.node ~= args.node then return cjson.encode({ unknown = true }) end
log("event", "stop-recording", { app = recording.app, room = recording.room, session = recording.session,
  recording = recording.id })

recording_ended(recording, { length_ms = args.length_ms, size = args.size, reason = why_ended(recording) })
return cjson.encode({ ended = true })
