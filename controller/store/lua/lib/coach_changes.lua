-- What becomes of a command to coach a member, or not to: the results of the relations that it takes.
-- needs: coaching members

local RETRY_MS = 1000 -- before the node is told once more what it has not done
-- Reasons for which there is nobody to relate: it is told by events that one is out.
local NOBODY = { no_member = true, no_members = true }

-- Has a coach heard by all again.
local function stop_coaching(room, coach) relate(room, coach, { EVERYBODY }) end

-- The node has done all that it was told of a coach, if so.
local function coach_settled(room, coach)
  if redis.call("EXISTS", keys.unrelated(coach.id)) == 1 then return end
  confirmed(coach.node, "relate", coach.id)
  if not coach.coach_change then return end
  local begins, was_one = coach.coach_change == "coach", coach.coaching ~= nil
  local uid, before = forget_coach_change(coach)
  if begins then
    change(keys.session(coach.id), coach, { coaching = coach.coaches })
  else
    end_coaching(room, coach)
  end
  if begins or was_one then
    local data = member_data(coach)
    data.command_uid = uid
    emit_member(room, begins and "conference.member.coaching" or "conference.member.uncoached", data, coach)
  end
  act_for(before)
end

-- The node has not carried the pending command out: what was before holds again.
local function fail_coach_change(room, coach, reason)
  local command = coach_change_failed(room, coach, reason)
  local items = forget_unrelated(coach)
  if command == "coach" and not coach.coaching then
    change(keys.session(coach.id), coach, { coach_change = UNDO })
    stop_coaching(room, coach)
  else
    change(keys.session(coach.id), coach, { coaches = coach.coaching })
    hide(room, coach)
  end
  let_hear(room, items)
end

-- The result of a `relate`.
local function related(room, coach, command, job, result)
  local is_done, items = result.ok or NOBODY[result.reason], {}
  for _, item in ipairs(command.items) do
    if redis.call("HGET", keys.unrelated(coach.id), item) == job then items[#items + 1] = item end
  end
  if #items == 0 then return end
  for _, item in ipairs(items) do
    if is_done then
      redis.call("HDEL", keys.unrelated(coach.id), item)
    else
      redis.call("HSET", keys.unrelated(coach.id), item, "")
    end
  end
  if is_done then
    let_hear(room, items)
    return coach_settled(room, coach)
  end
  -- The node may have done it. To do it twice does no harm.
  local is_tried_again = result.reason == "no_answer" and not command.again
  if not coach.coach_change or coach.coach_change == UNDO or is_tried_again then
    return expect(coach.node, "relate", coach.id, RETRY_MS)
  end
  fail_coach_change(room, coach, result.reason)
end

-- Has the node relate a coach to those to whom it is to be, and could not be before.
local function relate_again(room, coach)
  local flat, items = redis.call("HGETALL", keys.unrelated(coach.id)), {}
  for i = 1, #flat, 2 do
    if flat[i + 1] == "" then items[#items + 1] = flat[i] end
  end
  relate(room, coach, items, 1)
  coach_settled(room, coach)
end
