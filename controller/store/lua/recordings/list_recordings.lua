-- Lists an app's recordings, in the order in which they were begun. Replies { rows, cursor }.
-- args: app_id state? room? session?
-- needs: pages describe_recording

return page(keys.recordings(args.app_id), function(id)
  local recording = get_recording(id)
  if not recording or recording.deleted then return nil end
  if args.state and recording.state ~= args.state then return nil end
  if args.room and recording.room ~= args.room then return nil end
  if args.session and recording.session ~= args.session then return nil end
  return describe_recording(recording)
end)
