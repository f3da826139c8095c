-- Has the node record a room. `upload_url`: where the file is put in the end; absent, the app fetches it.
-- args: command room_id command_uid? upload_url? relay_live
-- needs: limits command_uids quotas recordings

local room, refused = own_room(args.room_id)
refused = refused or first_answer() or limited(args.room_id, room.node)
if refused then return refused end
if not args.relay_live then return refuse("no_relay") end
if room.recording then return refuse("already_recording", { recording_id = room.recording }) end
if redis.call("ZCARD", keys.members(room.id)) == 0 then return refuse("room_empty") end
refused = exceeded("recordings", 1) or exceeded("recording_bytes", 1) or exceeded("webhook_bytes", 0)
if refused then return refused end

start_cooldown(room.id)
local recording = begin_room_recording(room, { upload_url = args.upload_url }, args.command_uid)
log("command", args.command, { app = room.app, room = room.id, recording = recording.id,
  command_uid = args.command_uid })
local answer = cjson.encode({ recording_id = recording.id, status = recording.state })
keep_answer(answer)
return answer
