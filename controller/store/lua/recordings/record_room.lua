-- Has the node record a room. `upload_url`: where the file is put in the end; absent, the app fetches it.
-- args: room_id upload_url? relay_live command_uid?
-- needs: limits recording_commands recordings

local room, refused = own_room(args.room_id)
refused = refused or first_answer() or limited(args.room_id, room.node)
if refused then return refused end
if not args.relay_live then return refuse("no_relay") end
if room.recording then return refuse("already_recording", { recording_id = room.recording }) end
if redis.call("ZCARD", keys.members(room.id)) == 0 then return refuse("room_empty") end
refused = refuse_more_recordings()
if refused then return refused end

start_cooldown(room.id)
local recording = begin_room_recording(room, { upload_url = args.upload_url }, args.command_uid)
return accept_recording(recording, recording.state)
