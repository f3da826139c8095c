-- Has the node record a call. `channels`: 2 for stereo, what the caller says to the left, what he hears to the right.
-- `upload_url`: where the file is put in the end; absent, the app fetches it.
-- args: session_id channels upload_url? relay_live command_uid?
-- needs: recording_commands recordings session_commands

local session, instead = own_call()
if instead then return instead end
local refused = limited(session.id, session.node)
if refused then return refused end
if not args.relay_live then return refuse("no_relay") end
if session.state == SESSION.dialing then return refuse("still_dialing") end
if session.recording then return refuse("already_recording", { recording_id = session.recording }) end
refused = refuse_more_recordings()
if refused then return refused end

local recording = begin_recording(session, keys.session(session.id), { session = session.id, did = session.did,
  caller_id = session.caller_id, channels = args.channels, upload_url = args.upload_url }, args.command_uid)
start_cooldown(session.id)
return accept_recording(recording, recording.state)
