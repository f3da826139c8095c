-- Who is in the console: an operator, or a portal of an app. KEYS[1] is the registry's tag.

-- What a session was begun with, and has to be the same still: it changes with an operator's password and role, and
-- with an app's key. Nil for who is gone.
local function generation_of(principal)
  local is_operator = principal.kind == "operator"
  local raw = is_operator and redis.call("HGET", keys.operators(), principal.name)
    or not is_operator and redis.call("HGET", keys.apps(), principal.app_id)
  if not raw then return nil end
  local record = cjson.decode(raw)
  return is_operator and record.generation or not is_operator and record.key_salt
end

local function is_current(principal) return generation_of(principal) == principal.generation end
