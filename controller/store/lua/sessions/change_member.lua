-- Changes a member of a room: all that is asked, or nothing. `flags`, `levels`: pairs of a name and what it is to be;
-- the node confirms each by an event of its own, and what is so already is left out. `role`, `tags` (as JSON) hold at
-- once.
-- args: room_id flags levels role? tags? command_uid?
-- needs: flag_changes kept_out legs member_webhooks quotas session_commands
-- lists: changing

local room, refused = own_room(args.room_id)
if refused then return refused end
local session, instead = own_member(room)
if instead then return instead end

local wanted, names = {}, {}
local function want(name, value)
  names[#names + 1] = name
  wanted[#wanted + 1] = { name = name, value = value }
end

for _, pair in ipairs(args.flags) do
  local name, on = unpack(pair)
  local flag = FLAGS[name]
  local change_to, code = change_of(flag, on), why_not(session, flag, on)
  if code and code ~= change_to.refused_already then return refuse(code) end
  if not code then want(name, on) end
end
for _, pair in ipairs(args.levels) do
  local name, value = unpack(pair)
  if session[LEVELS[name].pending_job] then return refuse("volume_pending") end
  if (session[name] or "0") ~= tostring(value) then want(name, value) end
end
refused = exceeded("webhook_bytes", 0)
if refused then return refused end

local fields = { role = args.role ~= role_of(session) and args.role or nil,
  tags = args.tags ~= tags_of(session) and args.tags or nil }
-- Where nothing changes, no other change has to wait.
local is_new = #names > 0 or next(fields) ~= nil
local answer = (is_new and accept_new or accept)(session, "changing", { changing = as_list(names) })
for _, each in ipairs(wanted) do
  local flag = FLAGS[each.name]
  if flag then
    change_flag(session, flag, each.value, { uid = args.command_uid })
  else
    send_change(session, LEVELS[each.name], { uid = args.command_uid, value = each.value })
  end
end
if next(fields) then
  change(keys.session(session.id), session, fields)
  note_role(room, session)
  if fields.role == "moderator" then moderator_came(room, session) end
  local data = member_data(session)
  data.command_uid = args.command_uid
  emit_member(room, "conference.member.updated", data, session)
end
return answer
