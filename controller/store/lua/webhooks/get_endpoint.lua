-- What the API set of the app's endpoint, and how the endpoint does: the fields of its hash, as they are.
-- args: app_id

return cjson.encode({ record = get(keys.endpoint(args.app_id)) })
