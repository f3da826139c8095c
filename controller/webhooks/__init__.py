"""Webhook delivery: from a partition's outbox to the tenant's endpoint, signed, in order, at least once.

`dispatcher` runs it all, and says how the parts work together. `ordering`, `limiter`, `retry` and `message` are pure;
`connection` is the only one that talks to an endpoint, and the scripts `delivery_*.lua` the only ones that write what
became of a webhook.
"""
