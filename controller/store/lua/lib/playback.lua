-- A room's playback.
--
-- How it works. Each request to play is an operation, and a room's operations wait in a list. Their URLs are sent to
-- the node one at a time, each after the result of the one before: the node fetches a file before it queues it, so two
-- that are sent at once may come up in either order (trace 15). While a play (`flight`) or a stop (`stopping`) is in
-- flight, nothing is sent. Nor is anything while MAX_AHEAD are with the node, which has each on its disk: one plays,
-- and the next is ready. What the node has queued it plays in order, and says of each file when it is done
-- (file_done.lua). So when one is done, those queued before it are done too, even if their events were lost.
--
-- The head is the file that the node plays now, or next. Volume and pause are about that file alone: they are sent
-- when there is one, and again when the next file comes up. A pause is a toggle, whose result tells which way it went.
--
-- An operation ends once, when its last URL is done, or before its time (lib/endings.lua): by a stop, or because the
-- room was emptied, deleted or lost with its node. After a lost link, playback_lost.lua compares the head with the
-- file that the node plays.
--
-- Besides its hash an operation has the list `urls`, each a JSON string as the app sent it. It may be long, and most
-- steps need one URL or none. `u<i>` of the hash is the state of URL i, "failed" with the reason and maybe the status
-- of its server's response: "failed:not_found:404". It is absent while the URL is pending. `v<i>` is the volume that
-- the node was given with it, and `n<i>` the URL that it was given, if that is a relay's.
--
-- A long file is two for the node, played as one (controller/media/relay.py). `r<i>` is the frame where the second
-- begins, 0 if there is none or the node has gone on to it (rest_began.lua). If the node is done and has not, also by
-- the samples that it has played, it did not get that part. Then the rest becomes an entry of `urls` of its own, behind
-- its URL: the frame, a number. So it is sent, played and ended like a URL, and is none only in what apps are told.
-- Until the node has gone on, nothing behind is sent, so no other index changes that anyone knows.
-- needs: outbox node_commands

local MAX_AHEAD = 2

-- The state of URL `i`, and why it failed.
local function url_state(operation, i)
  local state, why = string.match(operation["u" .. i] or URL.pending, "^(%a+):?(.*)$")
  return state, why
end

-- The states of a URL that are final.
local OVER = {}
for state, steps in pairs(STEPS.URL) do OVER[state] = next(steps) == nil end

-- An operation that version 0.1 stored has its URLs in its hash.
local function move_urls(id, operation)
  local urls = cjson.decode(operation.urls)
  for _, url in ipairs(urls) do
    redis.call("RPUSH", keys.urls(id), cjson.encode(url))
  end
  change(keys.operation(id), operation, { bytes = #operation.urls })
  clear(keys.operation(id), operation, "urls")
  use(operation.app, "operations", 1)
  use(operation.app, "url_bytes", operation.bytes)
end

-- URL `i` of an operation as the app sent it, and the frame to begin with.
local function url_of(id, i)
  local url = cjson.decode("[" .. redis.call("LINDEX", keys.urls(id), i) .. "]")[1]
  if type(url) == "number" then return url_of(id, i - 1), url end
  return url, 0
end

-- The same as a node got it. Before there were relays, a list had it where that differed.
local function node_url(operation, i)
  return operation["n" .. i] or redis.call("LINDEX", keys.node_urls(operation.id), i) or url_of(operation.id, i)
end

-- An operation, also one that is over and waits for its webhook.
local function read_operation(id)
  local operation = get(keys.operation(id))
  if not operation then return nil end
  if operation.urls then move_urls(id, operation) end
  operation.id = id
  return operation
end

-- An operation that is not over.
local function get_operation(id)
  local operation = read_operation(id)
  return operation and not operation.ending and operation or nil
end

-- A room's playback takes a step. `operation`: the id of the one that is current then, "" for none.
local function step_playback(room, event, operation)
  local status = step("PLAYBACK", room.status, event)
  change(keys.room(room.id), room, { status = status, operation = operation })
  log("state", "playback." .. status, { app = room.app, room = room.id, operation = operation })
end

local function forget_operation(app, id, bytes)
  redis.call("DEL", keys.operation(id), keys.urls(id), keys.node_urls(id))
  use(app, "operations", -1)
  use(app, "url_bytes", -bytes)
end

local function remove_operation(room, operation)
  redis.call("LREM", keys.operations(room.id), 1, operation.id)
  forget_operation(room.app, operation.id, operation.bytes)
  local first = redis.call("LINDEX", keys.operations(room.id), 0)
  if not first then
    step_playback(room, "finish", "")
  elseif room.operation == operation.id then
    step_playback(room, "next", first)
  end
end

-- What became of each URL of an operation: a list of { url, state, why }.
local function outcomes(operation)
  local found = {}
  for i, url in ipairs(redis.call("LRANGE", keys.urls(operation.id), 0, -1)) do
    local state, why = url_state(operation, i - 1)
    if not OVER[state] then state, why = step("URL", state, "fail"), "interrupted" end
    local last = found[#found]
    if not tonumber(url) then
      found[#found + 1] = { url = url, state = state, why = why }
    elseif last.state == URL.played then
      last.state, last.why = state, why
    end
  end
  return found
end

-- The reason and the HTTP status, each of which may be empty, of why a URL failed.
local function reason_of(why) return string.match(why, "^([%a_]*):?(%d*)$") end

-- How an operation has ended, `status` or by what became of its URLs, and each of these as JSON.
local function summary(operation, status)
  local results, played = {}, 0
  for i, outcome in ipairs(outcomes(operation)) do
    if outcome.state == URL.played then played = played + 1 end
    local reason, http_status = reason_of(outcome.why)
    results[i] = '{"url":' .. outcome.url .. ',"status":"' .. outcome.state .. '"'
      .. (reason ~= "" and ',"reason":"' .. reason .. '"' or "")
      .. (http_status ~= "" and ',"http_status":' .. http_status or "") .. "}"
  end
  status = status or (played == #results and "completed") or (played == 0 and "failed") or "partial"
  return status, '"results":[' .. table.concat(results, ",") .. "]"
end

-- Emits the end of an operation: `interrupted`, or what became of its URLs.
local function emit_finished(room, operation, how)
  local status, results = summary(operation, how)
  emit_room(room, "conference.play.finished", { operation_id = operation.id, status = status }, results)
end

-- Ends the URLs of an operation at `indices` by `event`: `finish`, or `fail` with the reason `why`. Those that are over
-- stay as they are. With its last URL the operation ends.
local function end_urls(room, operation, indices, event, why)
  local changes, state = {}, nil
  for _, i in ipairs(indices) do
    local before = url_state(operation, i)
    if not OVER[before] then
      state = step("URL", before, event)
      operation["u" .. i] = why and state .. ":" .. why or state
      changes[#changes + 1] = "u" .. i
      changes[#changes + 1] = operation["u" .. i]
    end
  end
  if #changes == 0 then return end
  local before = act_for(operation)
  redis.call("HSET", keys.operation(operation.id), unpack(changes))
  operation.settled = redis.call("HINCRBY", keys.operation(operation.id), "settled", #changes / 2)
  log("state", "url." .. state, { app = room.app, room = room.id, operation = operation.id,
    index = indices[1], count = #changes / 2, reason = why and (reason_of(why)) })
  if tonumber(operation.settled) == tonumber(operation.total) then
    emit_finished(room, operation)
    remove_operation(room, operation)
  end
  act_for(before)
end

-- Ends the URLs that were queued before URL `index` of operation `last`: the node plays files in the order it got them.
local function end_urls_before(room, last, index)
  for _, id in ipairs(redis.call("LRANGE", keys.operations(room.id), 0, -1)) do
    local operation, played = get_operation(id), {}
    for i = 0, (id == last and index or tonumber(operation.next)) - 1 do
      if url_state(operation, i) == URL.queued then played[#played + 1] = i end
    end
    end_urls(room, operation, played, "finish")
    if id == last then return end
  end
end

-- The node has taken URL `i` of an operation.
local function url_queued(operation, i)
  local state = step("URL", url_state(operation, i), "queue")
  change(keys.operation(operation.id), operation, { ["u" .. i] = state })
end

-- The frame where the second part of URL `i` begins, if the node is not known to have gone on to it; else 0.
local function rest_of(operation, i) return tonumber(operation["r" .. i] or 0) end

-- The node has gone on to the second part of URL `i`.
local function rest_began(operation, i)
  if rest_of(operation, i) > 0 then change(keys.operation(operation.id), operation, { ["r" .. i] = 0 }) end
end

-- The node is done with URL `i`. What it did not get of it is played next.
local function file_ended(room, operation, i)
  local rest, urls = rest_of(operation, i), keys.urls(operation.id)
  if rest > 0 then
    local url = redis.call("LINDEX", urls, i)
    redis.call("LSET", urls, i, "")
    redis.call("LINSERT", urls, "AFTER", "", rest)
    redis.call("LSET", urls, i, url)
    change(keys.operation(operation.id), operation, { total = operation.total + 1, ["r" .. i] = 0 })
  end
  end_urls(room, operation, { i }, "finish")
end

-- The URL that the node plays now or next: the first that was sent and is not over. Returns operation, index, state.
local function head(room)
  for _, id in ipairs(redis.call("LRANGE", keys.operations(room.id), 0, -1)) do
    local operation = get_operation(id)
    for i = 0, tonumber(operation.next) - 1 do
      local state = url_state(operation, i)
      if not OVER[state] then return operation, i, state end
    end
  end
end

-- Gives the file that the node plays now the room's volume, if it was queued with another.
local function fix_volume(room)
  local operation, i, state = head(room)
  if state ~= URL.queued or operation["v" .. i] == room.volume then return end
  change(keys.operation(operation.id), operation, { ["v" .. i] = room.volume })
  send(room.node, "volume", { app = room.app, room = room.id, volume = tonumber(room.volume) })
end

-- Toggles the pause of the file that the node plays now. A file that the node has not taken yet is toggled once it has.
-- `again`: the last toggle went the wrong way.
local function send_pause(room, again)
  local operation, _, state = head(room)
  if state ~= URL.queued then return end
  local job = send(room.node, "pause", { app = room.app, room = room.id, operation = operation.id,
    paused = room.status == PLAYBACK.paused, again = again })
  change(keys.room(room.id), room, { pause_job = job })
end

-- Sends URL `i` of operation `id`. `tries`: how often it is sent with this time.
local function send_play(room, id, i, tries)
  redis.call("HSET", keys.operation(id), "v" .. i, room.volume)
  local url, start = url_of(id, i)
  local job = send(room.node, "play", { app = room.app, room = room.id, operation = id, index = i, tries = tries,
    url = url, start = start, volume = tonumber(room.volume) })
  change(keys.room(room.id), room, { flight = job })
end

-- Sends the next URL when nothing is in flight, and the node has less than MAX_AHEAD, and all of the last.
local function advance(room)
  if room.flight or room.stopping or room.closing then return end
  local ahead = 0
  for _, id in ipairs(redis.call("LRANGE", keys.operations(room.id), 0, -1)) do
    local following, total, settled, old_urls, actor, trace =
      unpack(redis.call("HMGET", keys.operation(id), "next", "total", "settled", "urls", "actor", "trace"))
    local i = tonumber(following)
    ahead = ahead + i - tonumber(settled or 0)
    if ahead >= MAX_AHEAD then return end
    if i > 0 then
      local rest, last = unpack(redis.call("HMGET", keys.operation(id), "r" .. i - 1, "u" .. i - 1))
      if rest and rest ~= "0" and last == URL.queued then return end
    end
    if i < tonumber(total) then
      local state = step("URL", URL.pending, "send")
      if old_urls then read_operation(id) end -- which moves what version 0.1 stored
      redis.call("HSET", keys.operation(id), "next", i + 1, "u" .. i, state)
      local before = act_for({ actor = actor, trace = trace })
      send_play(room, id, i, 1)
      act_for(before)
      return
    end
  end
end

-- Takes back a play that no worker has taken yet: its file is being prepared.
local function take_back(room)
  if room.flight and take_command_back(room.node, room.flight) then
    clear(keys.room(room.id), room, "flight")
  end
end

local function send_stop(room)
  change(keys.room(room.id), room, { stopping = send(room.node, "stop", { app = room.app, room = room.id }) })
end

-- Stops what may be heard in the room. Without members that is nothing, nor without a leg.
local function stop_playback(room)
  if redis.call("EXISTS", keys.members(room.id), keys.legs(room.id)) > 0 then send_stop(room) end
end
