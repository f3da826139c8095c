-- A flag is changed for all members of a room, or all are kicked: each gets a command, as if it had been asked for
-- alone. They are sent in parts, so that no step holds the store for long. A member's outcome brings on the next part;
-- where none is awaited, the node's worker does (overdue.lua). Who joins meanwhile is left out. The node's own `mute
-- all` would not do: it mutes the legs between nodes, too.
-- needs: flag_changes outbox session_steps sessions

local PART = 25 -- members that are looked at in a step
local MAX_NAMED = 100 -- members that are named among those that failed, or were left out
local STALLED_MS = 3 * CONFIRM_MS -- after which no outcome is waited for any longer

-- Has one member do what `all` asks of all. Returns whether its outcome is to come, and why it is left out if it is not
-- so already. By the command.
local ONE = {}

for _, flag in pairs(FLAGS) do
  for _, on in ipairs({ true, false }) do
    local change_to = change_of(flag, on)
    ONE[change_to.command] = function(session, all, room)
      local code = why_not(session, flag, on)
      if code then return false, code ~= change_to.refused_already and code or nil end
      local is_awaited = change_flag(session, flag, on, { uid = all.operation, operation = all.operation })
      if not is_awaited then change(keys.command_to_all(room.id), all, { changed = all.changed + 1 }) end
      return is_awaited
    end
  end
end

function ONE.kick(session, all)
  let_go(session, { uid = all.operation, kicked = 1, kick_reason = all.kick_reason, kick_operation = all.operation })
  return true
end

local function finish_all(room, all)
  emit_room(room, "conference.command.finished", { operation_id = all.operation, command = all.command,
    changed = tonumber(all.changed), failed = tonumber(all.failed), skipped = tonumber(all.skipped) or 0 },
    '"failed_members":' .. all.named .. ',"skipped_members":' .. (all.named_skipped or "[]"))
  redis.call("DEL", keys.command_to_all(room.id))
  confirmed(room.node, "all", room.id)
end

-- Counts a member, and names it with the reason if it is one of the first. `named`: the field of those that are.
local function count_member(all, key, session, count, named, reason)
  change(key, all, { [count] = (tonumber(all[count]) or 0) + 1 })
  if tonumber(all[count]) > MAX_NAMED then return end
  local members = cjson.decode(all[named] or "[]")
  members[#members + 1] = { uuid = session.id, reason = reason }
  change(key, all, { [named] = cjson.encode(members) })
end

-- Goes on with the command to all members of a room, if there is one.
local function go_on(room, all)
  local before = act_for(all)
  local key, waiting, excluded = keys.command_to_all(room.id), tonumber(all.waiting), {}
  for _, id in ipairs(cjson.decode(all.exclude)) do excluded[id] = true end
  local found = room.closing and {} or redis.call("ZRANGEBYSCORE", keys.members(room.id), "(" .. all.after, all.last,
    "WITHSCORES", "LIMIT", 0, PART)
  for i = 1, #found, 2 do
    all.after = found[i + 1]
    local session = not excluded[found[i]] and get_session(found[i])
    local is_spared = session and all.exclude_moderators == "1" and role_of(session) == "moderator"
    local is_in = session and not is_spared and session.state == SESSION.joined
    if is_in then
      local is_sent, code = ONE[all.command](session, all, room)
      if is_sent then waiting = waiting + 1 end
      if code then count_member(all, key, session, "skipped", "named_skipped", code) end
    end
  end
  change(key, all, { after = all.after, waiting = waiting })
  if #found < 2 * PART and waiting == 0 then
    finish_all(room, all)
  else
    expect(room.node, "all", room.id, waiting == 0 and 0 or STALLED_MS)
  end
  act_for(before)
end

-- No outcome has come for long, or none is to come.
local function bring_on(room)
  local all = get(keys.command_to_all(room.id))
  if not all then return end
  change(keys.command_to_all(room.id), all, { waiting = 0 })
  go_on(room, all)
end

-- A command to all has its outcome for one member. `reason`: why it failed.
local function member_done(room, session, operation, reason)
  local all = operation and get(keys.command_to_all(room.id))
  if not all or all.operation ~= operation then return end
  local key = keys.command_to_all(room.id)
  change(key, all, { waiting = math.max(all.waiting - 1, 0) })
  if reason then
    count_member(all, key, session, "failed", "named", reason)
  else
    change(key, all, { changed = all.changed + 1 })
  end
  if tonumber(all.waiting) <= PART then go_on(room, all) end
end
