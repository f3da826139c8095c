-- The far end of a call has pressed a key. It counts for what is collected of the session, and is told if the app's
-- endpoint names the type, as the API has set it while the configured URL was the same (`url_base`: its fingerprint).
-- One that presses on and on is told no more: it would fill the outbox and the event log of its app. `number`: of the
-- node's event.
-- args: session_id digit duration_ms number url_base quotas
-- needs: collections node_fence sessions

local MAX_AT_ONCE = 50 -- keys that are told, one right after the other
local EACH_MS = 500 -- after which there is one more

-- Whether another key of a session may be told, which counts then.
local function is_in_pace(session)
  local at = math.max(NOW, tonumber(session.digits_until) or 0)
  if at - NOW > (MAX_AT_ONCE - 1) * EACH_MS then return false end
  change(keys.session(session.id), session, { digits_until = at + EACH_MS })
  return true
end

local function is_wanted(app)
  local endpoint = get(keys.endpoint(app))
  if not endpoint or endpoint.url_base ~= args.url_base then return false end
  for _, name in ipairs(cjson.decode(endpoint.types)) do
    if name == "session.dtmf" then return true end
  end
  return false
end

if fenced() then return refusal("fenced") end
local session = get_session(args.session_id)
if not session then return cjson.encode({ unknown = true }) end
if session.state == SESSION.dialing then return cjson.encode({ told = false }) end
-- An event may be handed over twice, and a digit must not count twice.
if args.number <= (tonumber(session.digit_number) or 0) then return cjson.encode({ told = false }) end
local wanted = is_wanted(session.app) and not is_crowded(session.app) and is_in_pace(session)
if not (wanted or session.collected) then return cjson.encode({ told = false }) end

change(keys.session(session.id), session, { digit_number = args.number })
log("event", "dtmf", { app = session.app, room = session.room, session = session.id })
if wanted then
  emit_session(session, "session.dtmf", { digit = args.digit, duration_ms = args.duration_ms,
    in_room = session.state == SESSION.joined and session.room or nil })
end
if session.collected then collect(session, args.digit) end
return cjson.encode({ told = true })
