-- Which of these recordings have their files in the folder `holder`. Replies { known }.
-- args: recording_ids holder
-- lists: known

local known = {}
for _, id in ipairs(args.recording_ids) do
  if redis.call("HGET", keys.recording(id), "holder") == args.holder then known[#known + 1] = id end
end
return cjson.encode({ known = as_list(known) })
