-- A flag is changed for all members of a room, or all are kicked: each gets a command, as if it had been asked for
-- alone. They are sent in parts, so that no step holds the store for long. A member's outcome brings on the next part;
-- where none is awaited, the node's worker does (overdue.lua). Who joins meanwhile is left out. The node's own `mute
-- all` would not do: it mutes the legs between nodes, too.
-- needs: flag_changes outbox session_steps sessions

local PART = 25 -- members that are looked at in a step
local MAX_NAMED = 100 -- members that are named among those that failed
local STALLED_MS = 3 * CONFIRM_MS -- after which no outcome is waited for any longer

-- Has one member do what `all` asks of all. Returns whether its outcome is to come. By the command.
local ONE = {}

for _, flag in pairs(FLAGS) do
  for _, on in ipairs({ true, false }) do
    local change_to = change_of(flag, on)
    ONE[change_to.command] = function(session, all, room)
      if why_not(session, flag, on) then return false end
      local is_awaited = change_flag(room, session, flag, on, { uid = all.operation, operation = all.operation })
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
    changed = tonumber(all.changed), failed = tonumber(all.failed) }, '"failed_members":' .. all.named)
  redis.call("DEL", keys.command_to_all(room.id))
  confirmed(room.node, "all", room.id)
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
    if is_in and ONE[all.command](session, all, room) then waiting = waiting + 1 end
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
  local count = reason and "failed" or "changed"
  change(keys.command_to_all(room.id), all,
    { [count] = all[count] + 1, waiting = math.max(all.waiting - 1, 0) })
  if reason and tonumber(all.failed) <= MAX_NAMED then
    local named = cjson.decode(all.named)
    named[#named + 1] = { uuid = session.id, reason = reason }
    change(keys.command_to_all(room.id), all, { named = cjson.encode(named) })
  end
  if tonumber(all.waiting) <= PART then go_on(room, all) end
end
