-- What is due of the files in the folder `holder`. Replies { uploads, gone, next_ms }: each upload { recording_id, app,
-- url, attempt } is the caller's for `lease_ms`, and for the time that its bytes take at `bytes_per_second`. `gone`:
-- the recordings whose files are to be removed. `next_ms`: until there is more, absent if nothing waits. At most
-- `limit` uploads, and of no app more than `per_app` with those that are `under_way` (by app).
-- args: holder limit per_app under_way lease_ms bytes_per_second
-- needs: recording_files records
-- lists: uploads gone

local MAX_LOOKED_AT = 100 -- at a time
local LATER_MS = 1000 -- for what has to wait for its turn, behind what has not been looked at
local BROKEN_MS = 3600000 -- for a record that cannot be worked on

local uploads, gone = {}, {}

local function claim(recording)
  local under_way = args.under_way[recording.app] or 0
  if #uploads >= args.limit or under_way >= args.per_app then return NOW + LATER_MS end
  args.under_way[recording.app] = under_way + 1
  local attempt = tonumber(recording.attempts) + 1
  local until_ms = NOW + args.lease_ms + math.ceil(tonumber(recording.size) * 1000 / args.bytes_per_second)
  change(keys.recording(recording.id), recording, { attempts = attempt, next_at = until_ms })
  uploads[#uploads + 1] = { recording_id = recording.id, app = recording.app, url = recording.upload_url,
    attempt = attempt }
  return until_ms
end

local function look_at(id)
  local recording = get_recording(id)
  if recording and recording.holder == args.holder then
    if recording.state == RECORDING.uploading then return claim(recording) end
    release_file(recording)
    if recording.state == RECORDING.available then step_recording(recording, "expired") end
    forget_recording_later(recording)
  end
  gone[#gone + 1] = id
end

local found = redis.call("ZRANGEBYSCORE", keys.kept(args.holder), "-inf", NOW, "LIMIT", 0, MAX_LOOKED_AT)
for _, id in ipairs(found) do
  local succeeded, at = try(id, look_at, id)
  if not succeeded then at = NOW + BROKEN_MS end
  if at then
    redis.call("ZADD", keys.kept(args.holder), at, id)
  else
    redis.call("ZREM", keys.kept(args.holder), id)
  end
end

local ended = redis.call("ZRANGEBYSCORE", keys.recording_ends(), "-inf", NOW, "LIMIT", 0, MAX_LOOKED_AT)
for _, id in ipairs(ended) do
  try(id, function()
    local recording = get_recording(id)
    if not recording then return end
    if recording.state == RECORDING.uploading then
      -- Its relay is gone for good.
      act_for(recording)
      step_recording(recording, "failed", { reason = "upload_failed" })
      emit_recording(recording, "failed", { reason = recording.reason })
    end
    if recording.holder then release_file(recording) end
    forget_recording(recording)
  end)
  redis.call("ZREM", keys.recording_ends(), id)
end

local next_at = redis.call("ZRANGE", keys.kept(args.holder), 0, 0, "WITHSCORES")[2]
if #ended == MAX_LOOKED_AT then next_at = NOW end
local next_ms = next_at and math.max(0, tonumber(next_at) - NOW) or nil
return cjson.encode({ next_ms = next_ms, uploads = as_list(uploads), gone = as_list(gone), broken = as_list(broken) })
