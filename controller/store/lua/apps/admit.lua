-- Counts a request of an app. Replies what is left of its rate, also when it refuses.
-- args: app_id rate cost
-- needs: admission

return cjson.encode(admit(args.app_id, args.rate, args.cost))
