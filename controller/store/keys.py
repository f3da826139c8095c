"""Every key of the store: its name, type, lifetime and owner. Nothing else in the code spells a key.

An app's keys carry the hash tag of its partition (`{p07}`), so that one script reaches all of them, on one server and
on Redis Cluster alike. What belongs to a node alone carries the node's tag, what belongs to nobody `{registry}`.

The Lua files get the same names: `lua_prelude` makes functions of them, `keys.room(id)`.
"""

from __future__ import annotations

import zlib

PARTITIONS = 16
DELIVERY_LISTS = ("retrying", "delivered", "failed")  # the statuses in `deliveries`

CURSOR_KEY = "{registry}:cursor-key"  # string: what API processes seal list cursors with; for good; owner: processes
SESSION_KEY = "{registry}:session-key"  # string: what workers derive session ids with; for good; owner: processes

# What a partition holds. Name: (suffix, arguments). Types and lifetimes stand beside each.
PARTITION: dict[str, tuple[str, int]] = {
    # hash: app, node, name, created_at (s), seq, members_seen, volume, status, operation, closing, flight*, stopping;
    # from create to the last webhook of delete
    "room": ("room:%s", 1),
    # sorted set: session id by order of joining; sessions whose join the node confirmed; as the room
    "members": ("members:%s", 1),
    # set: session ids joining, joined or leaving; as the room
    "present": ("present:%s", 1),
    # list: operation ids in order of play; as the room
    "operations": ("operations:%s", 1),
    # list: operation ids whose end is yet to be told; until it is
    "ending": ("ending:%s", 1),
    # hash: app, room, total, bytes (of `urls`), next, settled, u<i> (state of URL i), v<i> (volume it was sent with),
    # ending (how, when that is yet to be told); from play to its finished or stopped
    "operation": ("operation:%s", 1),
    # lists: an operation's URLs, each a JSON string as the app sent it; and as the node gets them, if other
    "urls": ("urls:%s", 1),
    "node_urls": ("node-urls:%s", 1),
    # sorted set: room id by `order`; rooms of an app that are not being deleted; for good
    "rooms": ("rooms:%s", 1),
    # hash: room name -> room id, of an app; for good
    "names": ("names:%s", 1),
    # hash: app, node, channel (its uuid there), did, caller_id, state, room, member_id, muted, started_at (s), seq,
    # uid, job, and for each flag pending_<flag> (the command that the node has yet to confirm), pending_<flag>_uid
    # and pending_<flag>_job; from park to hangup
    "session": ("session:%s", 1),
    # string with expiry of 10 min: a session that has ended, so that a late event does not start it again
    "ended": ("ended:%s", 1),
    # sorted set: session id by `order`, of an app; for good
    "sessions": ("sessions:%s", 1),
    # sets: rooms and sessions of a node in this partition; for good; read by resync
    "node_rooms": ("node-rooms:%s", 1),
    "node_sessions": ("node-sessions:%s", 1),
    # counter: gives rooms and sessions their place in lists; for good
    "order": ("order", 0),
    # string with expiry (ms): a cooldown group of a room or session
    "cooldown": ("cooldown:%s:%s", 2),
    # string with expiry: theoretical arrival time (us) of an app's next request (GCRA); a second
    "rate": ("rate:%s", 1),
    # hash: operations, url_bytes, webhook_bytes (undelivered), delivered_bytes, failed_bytes: how much an app
    # uses of each quota, and of what is kept; for good
    "usage": ("usage:%s", 1),
    # string with expiry of 60 s: JSON of the command that an app gave a command_uid, with its body, and of its answer
    "answer": ("answer:%s:%s", 2),
    # stream: commands for a node that no worker has taken yet; an entry goes when it is taken or too old
    "commands": ("commands:%s", 1),
    # hash: job id -> JSON of a command sent to the node and not answered; until answer or deadline
    "sent": ("sent:%s", 1),
    # sorted set: `kind:id` by deadline (ms) of what a node must confirm; owner: the node's worker
    "due": ("due:%s", 1),
    # string: highest fencing token seen from a worker of a node; for good
    "fence": ("fence:%s", 1),
    # stream: webhooks to deliver: app, type, lane (room or session id), at (ms), data (JSON); until delivered
    "outbox": ("outbox", 0),
    # stream, capped: the event log, one JSON object in field `e`
    "log": ("log", 0),
    # Delivery of webhooks; owner of all of these: the dispatcher that holds the partition.
    # hash: owner, token (the fence), until (ms): the lease of a partition's deliveries; for good
    "dispatcher": ("dispatcher", 0),
    # sorted set: dispatcher by the time (ms) until which it counts as alive; for good
    "dispatchers": ("dispatchers", 0),
    # hash: outbox entry id -> `attempts next` (count, ms) of a failed webhook that holds its lane; until settled
    "held": ("held", 0),
    # hash: status (held, aside, delivered, failed), attempts, earlier (attempts before it was last sent again), next
    # (ms), a<n> (JSON of attempt n, the last ones: at, status, error, latency_ms, answer); once it left the outbox also
    # app, type, lane, at, data; from its first attempt until lib/deliveries.lua's KEPT is over
    "delivery": ("delivery:%s", 1),
    # sorted set: entry id by age (position), of an app and a status (retrying, delivered, failed); as its `delivery`s
    "deliveries": ("deliveries:%s:%s", 2),
    # hash: entry id -> bytes of a webhook of an app and a status (delivered, failed); as its place in `deliveries`
    "sizes": ("sizes:%s:%s", 2),
    # sorted set: entry id by next attempt (ms): webhooks of an app that stepped out of their lanes; until settled
    "aside": ("aside:%s", 1),
    # sorted set: app id by the earliest time (ms) in its `aside`; for good
    "asides": ("asides", 0),
    # hash: app id -> `from to` (positions): failed webhooks that are to be sent again; until all are in `aside`
    "redeliveries": ("redeliveries", 0),
    # hash: what the API set: url, types (JSON), url_base, generation, secret, old_secret, old_until (ms), secret_base;
    # how its endpoint does: mark (which URL that is about), failing_since (ms), disabled_at (ms), reason; as the app
    "endpoint": ("endpoint:%s", 1),
    # counter of changes to the partition's `endpoint` hashes that dispatchers must know of; for good
    "endpoints": ("endpoints", 0),
}

# What belongs to a node alone, under the node's tag.
NODE: dict[str, tuple[str, int]] = {
    # string with expiry: `token owner` of the worker that holds the node; owner: that worker
    "lease": ("lease", 0),
    # counter of leases given, the fencing token; for good
    "token": ("token", 0),
    # string: the node's Core-UUID when it was last compared, another after a restart; for good; owner: the worker
    "core": ("core", 0),
    # hash with expiry: load (sessions and rooms), core_uuid, at (ms); there while the link is up; owner: the worker
    "live": ("live", 0),
}

# What belongs to nobody in particular, under REGISTRY.
REGISTRY = "{registry}"
SHARED: dict[str, tuple[str, int]] = {
    # hash: app id -> JSON of registry.App; for good; owner: registry
    "apps": ("apps", 0),
    # hash: prefix -> JSON of registry.Node; for good; owner: registry
    "nodes": ("nodes", 0),
    # counter of changes to the two above; for good; owner: registry
    "version": ("version", 0),
    # sorted set: worker by the time (ms) until which it counts as alive; owner: each worker
    "workers": ("workers", 0),
    # hash: worker -> how many nodes it holds; as the above
    "worker_nodes": ("worker-nodes", 0),
}


def partition_of(app_id: str) -> str:
    """The hash tag of an app's partition."""
    return "{p%02d}" % (zlib.crc32(app_id.encode()) % PARTITIONS)


TAGS = tuple("{p%02d}" % number for number in range(PARTITIONS))


def tag_of_job(job: str) -> str:
    """The partition of a command, from the job id that `send` in lib/core.lua gave it: `p07-1795374235886-0`."""
    return "{%s}" % job.partition("-")[0]


def node_tag(prefix: str) -> str:
    return "{n:%s}" % prefix


def key(tag: str, name: str, *ids: str) -> str:
    suffix, arguments = {**PARTITION, **NODE, **SHARED}[name]
    if len(ids) != arguments:
        raise TypeError(f"key {name} takes {arguments} ids")
    return f"{tag}:{suffix % ids}"


def lua_prelude() -> str:
    """PARTITION, NODE and SHARED as Lua: `keys.name(ids...)`, under the tag in KEYS[1]."""
    lines = ["local tag = KEYS[1]", "local keys = {}"]
    for name, (suffix, arguments) in {**PARTITION, **NODE, **SHARED}.items():
        names = ("a", "b")[:arguments]
        body = '":' + suffix.replace("%s", '" .. %s .. "') + '"'
        body = body % names if arguments else body
        lines.append(f"function keys.{name}({', '.join(names)}) return tag .. {body} end")
    return "\n".join(lines).replace(' .. ""', "") + "\n"
