-- What becomes of a leg, and what follows for the sessions that wait for it.
-- needs: legs members recordings

-- A leg did not come up, or has gone. It is dialled again later, if anybody needs it.
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
      fail_awaiting(room, leg, "bridge_failed", string.match(reason, "^[%u%d_]+$"))
    end
  end
  if is_needed(room, leg) then
    hang_up_leg(room, leg)
    local wait = failures == 0 and 0 or math.min(FIRST_RETRY_MS * 2 ^ (failures - 1), MAX_RETRY_MS)
    expect(leg.node, "leg", room.id, wait)
  else
    end_leg(room, leg)
  end
  if lost_source and is_source_empty(room) then interrupt(room) end
end

-- Both sides have the leg.
local function leg_is_up(room, leg)
  step_leg(room, leg, "joined", { since = NOW })
  confirmed(leg.node, "leg", room.id)
  each_awaiting(room, leg, send_join)
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
