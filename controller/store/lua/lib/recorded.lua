-- Which recording goes on of a room or session, as lists and answers name it.

-- Null if there is none, or nobody wants it any more.
local function describe_recorded(id)
  if not id then return cjson.null end
  local state, deleted = unpack(redis.call("HMGET", keys.recording(id), "state", "deleted"))
  if not state or deleted then return cjson.null end
  return { recording_id = id, state = state }
end
