-- Events about a room's files may be lost. `playing`: the URL that the node plays now, without its scheme; absent when
-- it plays none.
-- args: node room_id playing?
-- needs: node_fence playback endings

if fenced() then return refusal("fenced") end
local room = get_room(args.room_id)
if not room then return cjson.encode({ unknown = true }) end
if room.node ~= args.node then
  -- The room has moved, and its files are played elsewhere.
  if args.playing then send(args.node, "stop", { app = room.app, room = room.id }) end
  return cjson.encode({ idle = true })
end
if room.operation == "" and not room.stopping then
  -- A play that counts as failed reached the node after all, and must not be heard now.
  if args.playing then send_stop(room) end
  return cjson.encode({ idle = true })
end

local queued = false
for _, id in ipairs(redis.call("LRANGE", keys.operations(room.id), 0, -1)) do
  local operation = get_operation(id)
  for i = 0, tonumber(operation.next) - 1 do
    local state = url_state(operation, i)
    queued = queued or state == URL.queued
    if not OVER[state] and args.playing and string.gsub(node_url(operation, i), "^[%a_]+://", "") == args.playing then
      if state == URL.sent then
        url_queued(operation, i)
        clear(keys.room(room.id), room, "flight")
      end
      -- Which part of it plays, the node does not say (24). Once it is done, it says how much it has played.
      end_urls_before(room, id, i)
      -- The result that would do this is lost, or comes too late to count.
      advance(room)
      return cjson.encode({ goes_on = true })
    end
  end
end
local operation, i, state = head(room)
if not args.playing and not room.stopping and state == URL.queued and rest_of(operation, i) > 0 then
  -- The first part is over, and nobody has seen the second begin.
  file_ended(room, operation, i)
  advance(room)
  return cjson.encode({ goes_on = true })
end
-- No URL is queued. One that was only sent waits for its job.
if not queued and not room.stopping then return cjson.encode({ waits = true }) end

clear(keys.room(room.id), room, "flight", "stopping")
end_operations(room, "interrupted")
stop_playback(room)
return reply({ interrupted = true })
