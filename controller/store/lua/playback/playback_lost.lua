-- include: playback endings
-- Files may have ended unseen. args.playing: the URL that the node plays now, without its scheme; absent: none.
if fenced() then return refuse("fenced") end
local r = get_room(args.room_id)
if not r then return cjson.encode({ unknown = true }) end
if r.operation == "" and not r.stopping then
  -- A play that counts as failed was heard of by the node after all, and must not be heard now.
  if args.playing then send_stop(r) end
  return cjson.encode({ idle = true })
end

local queued = false
for _, id in ipairs(redis.call("LRANGE", keys.operations(r.id), 0, -1)) do
  local o = get_operation(id)
  for i = 0, tonumber(o.next) - 1 do
    local state = url_state(o, i)
    queued = queued or state == "queued"
    if not FINAL[state] and args.playing and string.gsub(node_url(id, i), "^%a+://", "") == args.playing then
      if state == "sent" then
        change(keys.operation(id), o, { ["u" .. i] = "queued" })
        clear(keys.room(r.id), r, "flight")
      end
      settle_before(r, id, i)
      -- Nobody else does: the answer that would is lost, or comes too late to count.
      advance(r)
      return cjson.encode({ goes_on = true })
    end
  end
end
-- What was only sent, or not even that, is settled with the lost jobs.
if not queued and not r.stopping then return cjson.encode({ waits = true }) end

clear(keys.room(r.id), r, "flight", "stopping")
end_operations(r, "interrupted")
silence(r)
return result({ interrupted = true })
