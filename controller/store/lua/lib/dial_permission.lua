-- Whether an app may dial. `permission`: what its entry says of it (controller/rooms/dialer.py).
-- args: app_id to permission
-- needs: access dials

-- Refuses what the app's entry does not allow.
local function not_allowed()
  if not args.permission.gateway then return refuse("dialing_forbidden") end
  if not args.permission.to then return refuse("destination_forbidden") end
  if not args.permission.caller_id then return refuse("caller_id_forbidden") end
end

-- Refuses what is more than the app may dial.
local function beyond_limits()
  local used_now = dials_of(args.app_id)
  for _, name in ipairs({ "calls_at_once", "calls_per_minute", "calls_per_day" }) do
    local most = args.permission[name]
    if used_now[name] >= most then
      return refuse("dial_limit_reached", { quota = name, limit = most, used = used_now[name],
        retry_after_ms = until_fewer(args.app_id, name, used_now[name], most) })
    end
  end
end

-- By what the pace of its calls is counted.
local function dialled_number() return args.app_id .. " " .. args.to end
