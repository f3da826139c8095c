-- A room's playback. Operations wait in a list; their URLs are sent one at a time, each after the answer to the one
-- before, and queue up on the node. While `flight` (a play) or `stopping` (a stop) is unanswered nothing is sent.
--
-- Besides its hash an operation has two lists: `urls`, each a JSON string as the app sent it, and `node_urls`, as the node
-- gets them, where that differs. They may be long, and most steps need none or one.
--
-- args URL: pending -> sent -> queued (the node has it) -> played | failed. `u<i>` holds "sent", "queued", "played" or
-- "failed:why"; `v<i>` the volume that the node was given with it.

local FINAL = { played = true, failed = true }

local function url_state(o, i)
  local state, why = string.match(o["u" .. i] or "pending", "^(%a+):?(.*)$")
  return state, why
end

-- A playback that version 0.1 stored has its URLs in its hash.
local function move_urls(id, o)
  local urls = cjson.decode(o.urls)
  for _, url in ipairs(urls) do
    redis.call("RPUSH", keys.urls(id), cjson.encode(url))
  end
  change(keys.operation(id), o, { bytes = #o.urls })
  clear(keys.operation(id), o, "urls")
  use(o.app, "operations", 1)
  use(o.app, "url_bytes", o.bytes)
end

-- URL `i` of an operation as the node gets it.
local function node_url(id, i)
  return redis.call("LINDEX", keys.node_urls(id), i) or cjson.decode("[" .. redis.call("LINDEX", keys.urls(id), i) .. "]")[1]
end

local function read_operation(id)
  local o = get(keys.operation(id))
  if not o then return nil end
  if o.urls then move_urls(id, o) end
  o.id = id
  return o
end

-- Nil for one that is over, also if that is yet to be told.
local function get_operation(id)
  local o = read_operation(id)
  return o and not o.ending and o or nil
end

local function playback_status(r, status, operation)
  change(keys.room(r.id), r, { status = status, operation = operation })
  log("state", "playback." .. status, { app = r.app, room = r.id, operation = operation })
end

local function forget_operation(app, id, bytes)
  redis.call("DEL", keys.operation(id), keys.urls(id), keys.node_urls(id))
  use(app, "operations", -1)
  use(app, "url_bytes", -bytes)
end

local function remove_operation(r, o)
  redis.call("LREM", keys.operations(r.id), 1, o.id)
  forget_operation(r.app, o.id, o.bytes)
  local next = redis.call("LINDEX", keys.operations(r.id), 0)
  if next then
    if r.operation == o.id then playback_status(r, r.status, next) end
  elseif r.status ~= "stopped" then
    playback_status(r, "stopped", "")
  end
end

-- Tells the end of an operation: `interrupted`, or what its results say.
local function tell_finished(r, o, status)
  local results, played = {}, 0
  for i, url in ipairs(redis.call("LRANGE", keys.urls(o.id), 0, -1)) do
    local state, why = url_state(o, i - 1)
    if state == "played" then played = played + 1 end
    if not FINAL[state] then state, why = "failed", "interrupted" end
    local reason = why ~= "" and ',"reason":"' .. why .. '"' or ""
    results[i] = '{"url":' .. url .. ',"status":"' .. state .. '"' .. reason .. "}"
  end
  status = status or (played == #results and "completed") or (played == 0 and "failed") or "partial"
  tell(r, "conference.play.finished", { operation_id = o.id, status = status },
    '"results":[' .. table.concat(results, ",") .. "]")
end

-- Gives URLs of an operation their final state: those of `places`, a list of indices, that have none yet.
local function settle_urls(r, o, places, state)
  local changes = {}
  for _, i in ipairs(places) do
    if not FINAL[url_state(o, i)] then
      o["u" .. i] = state
      changes[#changes + 1] = "u" .. i
      changes[#changes + 1] = state
    end
  end
  if #changes == 0 then return end
  redis.call("HSET", keys.operation(o.id), unpack(changes))
  o.settled = redis.call("HINCRBY", keys.operation(o.id), "settled", #changes / 2)
  log("state", "url." .. string.match(state, "^%a+"), { app = r.app, room = r.id, operation = o.id,
    index = places[1], count = #changes / 2 })
  if tonumber(o.settled) == tonumber(o.total) then
    tell_finished(r, o)
    remove_operation(r, o)
  end
end

-- The node plays files in the order in which it got them: what was queued before URL `index` of `operation` is through.
local function settle_before(r, operation, index)
  for _, id in ipairs(redis.call("LRANGE", keys.operations(r.id), 0, -1)) do
    local o, through = get_operation(id), {}
    for i = 0, (id == operation and index or tonumber(o.next)) - 1 do
      if url_state(o, i) == "queued" then through[#through + 1] = i end
    end
    settle_urls(r, o, through, "played")
    if id == operation then return end
  end
end

-- The URL that the node plays now, or will play next: the first that was sent and is not through. Operation, index, state.
local function head(r)
  for _, id in ipairs(redis.call("LRANGE", keys.operations(r.id), 0, -1)) do
    local o = get_operation(id)
    for i = 0, tonumber(o.next) - 1 do
      local state = url_state(o, i)
      if not FINAL[state] then return o, i, state end
    end
  end
end

-- The file that the node plays now must have the room's volume, whatever it was queued with.
local function fix_volume(r)
  local o, i, state = head(r)
  if state ~= "queued" or o["v" .. i] == r.volume then return end
  change(keys.operation(o.id), o, { ["v" .. i] = r.volume })
  send(r.node, "volume", { app = r.app, room = r.id, volume = tonumber(r.volume) })
end

-- Toggles the file that the node plays now. One that it has not got yet is toggled when it comes up. `again`: the last
-- toggle turned out to be the wrong way.
local function send_pause(r, again)
  local o, _, state = head(r)
  if state ~= "queued" then return end
  local job = send(r.node, "pause", { app = r.app, room = r.id, operation = o.id, paused = r.status == "paused",
    again = again })
  change(keys.room(r.id), r, { pause_job = job })
end

-- Sends the next URL when nothing is on its way.
local function advance(r)
  if r.flight or r.stopping or r.closing then return end
  for _, id in ipairs(redis.call("LRANGE", keys.operations(r.id), 0, -1)) do
    local next, total = unpack(redis.call("HMGET", keys.operation(id), "next", "total"))
    local i = tonumber(next)
    if i < tonumber(total) then
      read_operation(id)
      redis.call("HSET", keys.operation(id), "next", i + 1, "u" .. i, "sent", "v" .. i, r.volume)
      local job = send(r.node, "play", { app = r.app, room = r.id, operation = id, index = i,
        url = node_url(id, i), volume = tonumber(r.volume) })
      change(keys.room(r.id), r, { flight = job })
      return
    end
  end
end

local function send_stop(r)
  change(keys.room(r.id), r, { stopping = send(r.node, "stop", { app = r.app, room = r.id }) })
end

-- Stops whatever may be heard in the room. Without members nothing is.
local function silence(r)
  if redis.call("ZCARD", keys.members(r.id)) > 0 then send_stop(r) end
end
