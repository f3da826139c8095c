"""Every key of the store: its name, type and lifetime, and its owner where that is one process. Nothing else in the
code spells a key.

An app's keys carry the hash tag of its partition (`{p07}`), so that one script reaches all of them, on one server and
on Redis Cluster alike. A node's own keys carry the node's tag, those of no app or node `{registry}`.

The Lua files get the same names as functions, `keys.room(id)` (see `prelude`).
"""

from __future__ import annotations

import zlib
from functools import lru_cache

PARTITIONS = 16

CURSOR_KEY = "{registry}:cursor-key"  # string: what API processes seal cursors with; for good; owner: processes
SESSION_KEY = "{registry}:session-key"  # string: what workers derive session ids with; for good; owner: processes
MEDIA_KEY = "{registry}:media-key"  # string: what links of the audio relay are signed with; for good; owner: processes

# A partition's keys by name: how each ends, with its type and lifetime before it. Some names are older than
# today's words: `lane` is the ordering key, `flight` the play in flight, `settled` how many URLs are over, `due` what a
# node is expected to confirm, `aside` the retry queue.
PARTITION: dict[str, str] = {
    # hash: app, node, name, created_at (s), seq, members_seen, volume, status, operation, closing, its options by their
    # names (room_options), started_at (s: when its first member joined), peak_members, beeped_at (ms),
    # beep_enter_failed and beep_exit_failed (why its file was not heard, if that was told),
    # begun (1 once a moderator has come, until it is empty), empty_since (ms: since when
    # nobody has been in it, if nobody is), recording (the id of the one that goes on), record_stopped
    # (1: what is recorded by itself was stopped by the app, or refused for its quotas), flight and stopping
    # (job ids of the play and of the stop in flight), pause_job, floor (the session that has it, if it was told) and
    # floor_at (ms); from create to the last webhook of delete
    "room": "room:%s",
    # sorted set: session id by order of joining; only those whose join the node confirmed; as the room
    "members": "members:%s",
    # set: session ids joining, joined or leaving; as the room
    "present": "present:%s",
    # set: rooms of which it is told who speaks in them; as the rooms
    "speaker_rooms": "speaker-rooms",
    # set with expiry of seconds: session ids of those who speak in such a room, of a room and a node
    "speakers": "speakers:%s:%s",
    # sets: those of `present` that are moderators, and those that joined with end_on_exit; as the room
    "moderators": "moderators:%s",
    "enders": "enders:%s",
    # set: members that wait for a moderator, and have not been let in yet (lib/kept_out.lua); as the room
    "waiting": "waiting:%s",
    # set: members that coach another one (lib/coaching.lua); as the room
    "coaches": "coaches:%s",
    # hash: session id, `leg:` and a node, or `all` -> the job that has the node relate a coach to it, empty if that is
    # yet to be sent; of a coach, until the node has done so
    "unrelated": "unrelated:%s",
    # set: nodes that have a leg to the room's source (lib/legs.lua); as the room
    "legs": "legs:%s",
    # hash: state, id (the uuid of its channel on both nodes), source (the room's when it was dialled), near and far
    # (its member ids on its own node and on the source), failures (attempts in a row that failed or did not
    # last), since (ms: when it came up or went down last), reason (why it went down), fails (why the joins that wait
    # for it end, while they do); of a room and a node; as the leg
    "leg": "leg:%s:%s",
    # set: those of `present` that are on a node with a leg; of a room and that node; as the leg
    "present_on": "present-on:%s:%s",
    # hash: node with a leg -> how many of `members` are on it; of a room; as its legs
    "members_on": "members-on:%s",
    # list: session ids whose join waits for the leg, of a room and a node; until it is up
    "awaiting_leg": "awaiting-leg:%s:%s",
    # list: operation ids in order of play; as the room
    "operations": "operations:%s",
    # list: operation ids whose end is yet to be emitted; until it is
    "ending": "ending:%s",
    # hash: operation (id), command, kick_reason, exclude (JSON list of session ids), exclude_moderators, after and last
    # (scores in `members`: who was looked at last, and who is to be), waiting (members without an outcome), changed,
    # failed and skipped (how many), named and named_skipped (JSON lists of the first of them), actor and trace; by
    # room, while a command to all members is carried out
    "command_to_all": "command-to-all:%s",
    # hash: app, room or session, total, bytes (of `urls`), next (index to send), settled, u<i> (state of URL i), v<i>
    # (volume it was sent with), n<i> (a relay's URL of it), r<i> (the frame where its rest begins), ending (stopped or
    # interrupted, until that is emitted), actor and trace (of the command that played or ended it, if known); of one to
    # a session also uid and tries; from play to its finished or stopped
    "operation": "operation:%s",
    # list: an operation's URLs, each a JSON string as the app sent it; a number is the rest of the URL before it
    "urls": "urls:%s",
    # list: as a node gets them, if that differs; stored before there were relays
    "node_urls": "node-urls:%s",
    # hash: app, node, room or session (which of them is recorded), did and caller_id (of the session), channels (1 or
    # 2), state, created_at (s), seq; job, uid, actor and trace of the command that began it, and the same as change_job
    # and so on of a pause or resume, and as stop_job and so on of a stop; started_at (ms), length_ms and size (as the
    # node says, later as the relay has it), ended_at (ms), reason (why it ended, later why it failed), is_over (1: the
    # node has said so, but not by an event); change (paused or resumed: what is pending), change_again (1: sent twice);
    # store_job (of the command to put the file on a relay), tries (that failed), deleted (1: the app wants it no more);
    # upload_url (a secret), and of its relay holder (the id of its folder), attempts, next_at and expires_at (ms),
    # http_status (of the last attempt that had a response), uploaded (1). From the command on (lib/recordings.lua)
    "recording": "recording:%s",
    # sorted set: recording id by `order`, of an app; as the recordings
    "recordings": "recordings:%s",
    # sorted set: recording id by when (ms) its record is forgotten; of those that have no file, nor will have one, and
    # of those whose file a relay has, long after its time
    "recording_ends": "recording-ends",
    # sorted set: recording id by when (ms) its upload is to be tried next, or its time is over, of those whose files
    # are in a relay's folder; as the files
    "kept": "kept:%s",
    # set: recordings that go on on a node, or whose file is there; as that; read by the audit
    "node_recordings": "node-recordings:%s",
    # sorted set: room id by `order`; rooms of an app that are not being deleted; for good
    "rooms": "rooms:%s",
    # hash: room name -> room id, of an app; for good
    "names": "names:%s",
    # sorted set: room id as in `rooms`, of an app and a tag; as the rooms that have it
    "tagged": "tagged:%s:%s",
    # hash: app, node, channel (its uuid there), did, caller_id, direction, state, room, member_id, started_at (s), seq;
    # of a member also role, tags (JSON), end_on_exit (1 if it joined so), joined_at (s), waiting (for a moderator: 1,
    # or 2 if it could not be put on hold once), kept_out (1 while it is muted and deaf for that on its node, or for a
    # coach), coaches (the session by which alone it is to be heard), coaching (the same as far as the node has
    # confirmed it), coach_change (coach, uncoach or undo: what the node has yet to confirm), and the command's
    # coach_uid, coach_actor and coach_trace; uid, job, actor and trace (of a join or leave that is pending; of a join
    # also levels, those that are set then, as JSON, if there are any; of one that kicks also kicked, and kick_reason
    # and kick_operation if it has them), each flag by its name (1 or 0), and for each command to change one that the
    # node has yet to confirm, the same four as pending_<command>_job and so on; the same four as hang_up_job and
    # dtmf_job and so on, of a hang-up and of digits sent that the node has yet to confirm; digit_number (of the node's
    # event of the last digit that counted) and digits_until (ms; how far ahead of its pace it presses); play_operation
    # (the id of what is played to it alone), play_flight, play_file, play_stopping and play_stops
    # (lib/session_plays.lua); collected (digits), max_digits, terminators, digit_timeout_ms, collect_uid and so on,
    # while digits are collected. Of a call that an app has made, until it is answered, also dial_job, dial_uid,
    # dial_actor and dial_trace, is_ringing, hang_up_cause and hang_up_tries, and what it is to join: dial_room,
    # dial_flags (names), dial_levels, dial_role, dial_tags, dial_end_on_exit. Of one that is transferred to a number,
    # until that has ended or was not reached, also transfer_leg (the uuid of the call to it), transfer_dial (by what it
    # counts in `dialled`), transfer_to and transfer_from, and until it has answered the same four as transfer_job and
    # so on. From park, or from the command to dial, to hangup
    "session": "session:%s",
    # string with expiry of 10 min: a session that has ended, so that a late event does not start it again
    "ended": "ended:%s",
    # sorted set: session id by `order`, of an app; for good
    "sessions": "sessions:%s",
    # set: those of `sessions` that the app has dialled, and calls to numbers to which some are transferred; for good
    "dialled": "dialled:%s",
    # sorted set with expiry: the same by when (ms) they were accepted, for a day
    "dials": "dials:%s",
    # sets: rooms that have a conference on a node, and its sessions; for good; read by the audit
    "node_rooms": "node-rooms:%s",
    "node_sessions": "node-sessions:%s",
    # counter: gives rooms and sessions their place in lists; for good
    "order": "order",
    # string with expiry (ms), for how long it was: a cooldown group of a room, session or app
    "cooldown": "cooldown:%s:%s",
    # string with expiry: theoretical arrival time (us) of an app's next request (GCRA); 2 s
    "rate": "rate:%s",
    # hash: operations, url_bytes, recording_bytes, webhook_bytes (undelivered), delivered_bytes, failed_bytes,
    # idempotency_bytes: how much an app uses of each quota, and of what is kept; for good
    "usage": "usage:%s",
    # string with expiry of 60 s: JSON { command, answer } of the command to which an app gave a command_uid
    "answer": "answer:%s:%s",
    # string with expiry: JSON { request, claim } of a request with an idempotency key while it is carried out, and
    # { request, reply } for 24 h from then on (lib/idempotency.lua); of an app and a hash of the key
    "idempotency": "idempotency:%s:%s",
    # sorted set: `hash bytes` of an app's idempotency keys by the end (ms) of their 24 h; some time longer
    "idempotency_ends": "idempotency-ends:%s",
    # stream: commands for a node that no worker has taken yet; an entry goes when it is taken or too old
    "commands": "commands:%s",
    # string: place of the last command for a node, as in its job id; for an hour after it
    "last_place": "last-place:%s",
    # hash: job id -> JSON of a command sent to the node; until its result or deadline
    "sent": "sent:%s",
    # sorted set: `kind:id` by deadline (ms) of what the node must confirm
    "due": "due:%s",
    # string: highest fencing token seen from a worker of a node; for good
    "fence": "fence:%s",
    # stream: webhooks to deliver: app, type, lane (the ordering key: a room's or
    # session's id, of a recording with `/` and its own behind), at (ms), data (JSON),
    # trace (of the command that caused it, if known); until delivered
    "outbox": "outbox",
    # stream, capped: the event log, one JSON object in field `e`; of a webhook also its data, in field `d`, or in field
    # `l` its entry in `large`
    "log": "log",
    # stream, capped by bytes: data of webhooks that is too large for the event log, in field `d`; and counter of them
    "large": "large",
    "large_bytes": "large-bytes",
    # Delivery of webhooks; owner of all of these: the dispatcher that holds the partition.
    # hash: owner, token (the fence), until (ms): the lease of a partition's deliveries; for good
    "dispatcher": "dispatcher",
    # sorted set: dispatcher by the time (ms) until which it counts as alive; for good
    "dispatchers": "dispatchers",
    # hash: outbox entry id -> `attempts next` (count, ms) of webhooks that are held; until they no longer are
    "held": "held",
    # hash: status (held, aside, delivered, failed), attempts, earlier (attempts before it was last sent again), next
    # (ms), a<n> (JSON of attempt n, the last ones: at, status, error, latency_ms, answer); once it left the outbox also
    # app, type, lane, at, data, trace; from its first attempt until lib/deliveries.lua's KEPT is over
    "delivery": "delivery:%s",
    # sorted set: entry id by age (position), of an app and a status (retrying, delivered, failed); as its `delivery`s
    "deliveries": "deliveries:%s:%s",
    # hash: entry id -> bytes of a webhook of an app and a status (delivered, failed); as its place in `deliveries`
    "sizes": "sizes:%s:%s",
    # sorted set: entry id by next attempt (ms): the retry queue of an app; until they leave it
    "aside": "aside:%s",
    # sorted set: app id by the earliest time (ms) in its retry queue; for good
    "asides": "asides",
    # hash: app id -> `from to` (positions): failed webhooks that are to be sent again; until all are in the retry queue
    "redeliveries": "redeliveries",
    # hash: what the API set: url, types (JSON), url_base, generation, secret, old_secret, old_until (ms), secret_base;
    # how its endpoint does: mark (of the URL this is about), failing_since (ms), disabled_at (ms), reason; as the app
    "endpoint": "endpoint:%s",
    # counter of changes to the partition's `endpoint` hashes that dispatchers must know of; for good
    "endpoints": "endpoints",
}

# A node's own keys, under the node's tag.
NODE: dict[str, str] = {
    # string with expiry: `token owner` of the worker that holds the node; owner: that worker
    "lease": "lease",
    # counter of leases given, from the time (ms) of the first on, the fencing token; for good
    "token": "token",
    # string: the node's Core-UUID at its last comparison, which a restart changes; for good; owner: the worker
    "core": "core",
    # hash with expiry: load (sessions and rooms), calls (sessions), at (ms); there while the link is up; owner: the
    # worker
    "live": "live",
    # stream, the last 100: `note` (JSON of nodes.history.Note), when the link came up or went down, and what a
    # comparison has put right; owner: the worker
    "history": "history",
    # set with expiry of seconds: session ids of those who speak in a room on the node, while somebody watches; owner:
    # the worker
    "speaking": "speaking:%s",
}

# Keys of no app or node, under REGISTRY.
REGISTRY = "{registry}"
SHARED: dict[str, str] = {
    # hash: app id -> JSON of registry.App; for good; owner: registry
    "apps": "apps",
    # hash: prefix -> JSON of registry.Node; for good; owner: registry
    "nodes": "nodes",
    # hash: name -> JSON of registry.Gateway, with its password; for good; owner: registry
    "gateways": "gateways",
    # set: prefixes that nodes had which were removed; for good; owner: registry
    "gone_nodes": "gone-nodes",
    # counter of changes to the tables above; for good; owner: registry
    "version": "version",
    # sorted set: worker by the time (ms) until which it counts as alive; owner: each worker
    "workers": "workers",
    # hash: worker -> how many nodes it holds; as `workers`
    "worker_nodes": "worker-nodes",
    # stream, capped: what each process counts, every 10 s, one JSON object in field `e` (controller/statistics.py); 1 h
    "stats": "stats",
    # sorted set: address (host:port) of an audio relay by the time (ms) until which it counts as alive; owner: it
    "relays": "relays",
    # sorted set: `address holder` of a relay that keeps recordings, and of its folder, by the time (ms) until which it
    # counts as alive; owner: the relay
    "keepers": "keepers",
    # sorted set: `prefix id` of a node and a room by the time (ms) until which somebody watches who speaks in it there
    "watched": "watched",
    # hash: operator's name -> JSON of operators.Operator; for good; owner: operators
    "operators": "operators",
    # string with expiry: JSON of operators.Principal, and ends (ms), by the hash of the token; of a session of the
    # console, and of a link that begins one
    "console_session": "console-session:%s",
    "console_link": "console-link:%s",
    # sorted set with expiry: hashes of an app's links that nobody has opened, by the time (ms) until which they are
    # good
    "console_links": "console-links:%s",
    # string with expiry: theoretical arrival time (us) of the next attempt to log in (GCRA), of an address or a name
    "login_rate": "login-rate:%s",
    # string with expiry of 30 days: somebody has logged in, by a hash of the name and the address
    "login_known": "login-known:%s:%s",
}


@lru_cache(1024)
def partition_of(app_id: str) -> str:
    """The hash tag of an app's partition."""
    return "{p%02d}" % (zlib.crc32(app_id.encode()) % PARTITIONS)


TAGS = tuple("{p%02d}" % number for number in range(PARTITIONS))


def node_tag(prefix: str) -> str:
    return "{n:%s}" % prefix


SUFFIXES = {**PARTITION, **NODE, **SHARED}


def key(tag: str, name: str, *ids: str) -> str:
    """Raises KeyError for an unknown name, TypeError for too few ids or too many."""
    return f"{tag}:{SUFFIXES[name] % ids}"
