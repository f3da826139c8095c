-- include: access
-- What the API set of the app's endpoint, and how the endpoint does: the fields of its hash, as they are.
local limit = limited()
if limit then return limit end
return cjson.encode({ record = get(K.endpoint(A.app_id)) })
