-- Reads lists page by page.
-- args: after limit
-- needs: records
-- lists: rows

-- One page of a sorted set whose scores only grow: positions stay, so a page neither repeats nor skips an entry.
-- `describe` returns an entry's row, or nil to leave it out; if it raises an error the entry is left out, too. At most
-- `scan` entries are read, so a page may be short or empty, and yet not the last.
local function page(key, describe, scan)
  scan = scan or args.limit
  local found = redis.call("ZRANGEBYSCORE", key, "(" .. args.after, "+inf", "WITHSCORES", "LIMIT", 0, scan + 1)
  local rows, cursor = {}, 0
  for i = 1, math.min(#found, scan * 2), 2 do
    local succeeded, row = try(found[i], describe, found[i])
    if succeeded and row then rows[#rows + 1] = row end
    cursor = i + 2 < #found and tonumber(found[i + 1]) or 0
    if #rows == args.limit then break end
  end
  return cjson.encode({ rows = as_list(rows), cursor = cursor, broken = as_list(broken) })
end
