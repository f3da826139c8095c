-- What becomes of a leg, and what follows for the sessions that wait for it.
-- needs: legs members recordings

-- What follows when a leg is lost. First the joins end that waited for one that did not come up, some at a time: until
-- then there is `fails`, the hangup cause if there is one. Then it is dialled again later, if anybody needs it.
local function tend_lost_leg(room, leg)
  if leg.fails then
    fail_awaiting(room, leg.node, MAX_FAILED, "bridge_failed", leg.fails ~= "" and leg.fails or nil)
    if redis.call("EXISTS", keys.awaiting_leg(room.id, leg.node)) == 1 then return end
    clear(keys.leg(room.id, leg.node), leg, "fails")
  end
  if not is_needed(room, leg) then return end_leg(room, leg) end
  hang_up_leg(room, leg)
  local failures = tonumber(leg.failures)
  local wait = failures == 0 and 0 or math.min(FIRST_RETRY_MS * 2 ^ (failures - 1), MAX_RETRY_MS)
  expect(leg.node, "leg", room.id, wait)
end

-- A leg did not come up, or has gone.
local function leg_lost(room, leg, event, reason)
  local lost_source = leg.far ~= ""
  local was_up = leg.state == LEG.connected
  local failures = was_up and NOW - leg.since >= STEADY_MS and 0 or leg.failures + 1
  local since = was_up and NOW or leg.since
  step_leg(room, leg, event, { near = "", far = "", failures = failures, since = since, reason = reason })
  if event == "fail" then
    withdraw_leg(room, leg)
    -- While the source is not reached, they wait for it or for the room to move, as long as a join may.
    if reason ~= "node_unreachable" then
      -- A hangup cause, as the node names it, or a word of ours, which stands in the event log.
      change_leg(room, leg, { fails = string.match(reason, "^[%u%d_]+$") or "" })
    end
  end
  tend_lost_leg(room, leg)
  if lost_source and is_source_empty(room) then interrupt(room) end
end

-- Both sides have the leg.
local function leg_is_up(room, leg)
  step_leg(room, leg, "joined", { since = NOW })
  confirmed(leg.node, "leg", room.id)
  join_awaiting(room, leg.node)
  -- Without it the source may have had nobody left to record.
  record_room(room)
  if not is_needed(room, leg) then expect(leg.node, "leg", room.id, UNUSED_MS) end
end

-- The leg with an id. A room may have many: only that one is read as a whole.
local function find_leg(room, id)
  for _, node in ipairs(redis.call("SMEMBERS", keys.legs(room.id))) do
    if redis.call("HGET", keys.leg(room.id, node), "id") == id then return get_leg(room, node) end
  end
end
