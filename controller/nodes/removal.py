"""What the store has on a node that is gone for good."""

from __future__ import annotations

import time

import gevent

from controller.errors import Fenced
from controller.nodes.events import UNKNOWN_CAUSE
from controller.nodes.lease import NodeLease
from controller.store import keys
from controller.store.lease import LEASE_SECONDS
from controller.store.store import Store

# Longer than a worker that was killed holds its nodes.
WAIT_SECONDS = LEASE_SECONDS + 2.0
PAUSE_SECONDS = 0.1


def recordings_on(store: Store, prefix: str) -> int:
    """How many recordings are on a node: they go on, or no relay has their files yet. Raises StoreUnavailable."""
    counts = store.run_many([("count", tag, {"nodes": [prefix]}) for tag in keys.TAGS])
    return sum(count["recordings"][prefix] for count in counts)


def end_all_on(store: Store, prefix: str, owner: str, wait: float = WAIT_SECONDS) -> tuple[int, int]:
    """End the sessions, legs and recordings of a node that is not in the registry any more, as those of a node that
    was lost. Returns how many sessions and recordings there were. `owner`: who holds the node's lease meanwhile.
    `wait`: seconds for which a worker may still hold it. Raises StoreUnavailable, and Fenced if it is held for longer.
    """
    give_up_at = time.monotonic() + wait
    while (lease := NodeLease.take(store, prefix, owner)) is None:
        if time.monotonic() > give_up_at:
            raise Fenced
        gevent.sleep(PAUSE_SECONDS)
    try:
        lease.raise_fence()
        sessions, _ = lease.snapshot("sessions")
        lease.run_each(
            (
                "session_ended",
                keys.partition_of(session["app"]),
                {"session_id": session["id"], "cause": UNKNOWN_CAUSE, "node_lost": True},
            )
            for session in sessions
        )
        rooms, _ = lease.snapshot("rooms")
        lease.run_each(("leg_gone", keys.partition_of(room["app"]), {"room_id": room["id"]}) for room in rooms)
        recordings, _ = lease.snapshot("recordings")
        lease.run_each(
            ("recording_lost", keys.partition_of(recording["app"]), {"recording_id": recording["id"]})
            for recording in recordings
        )
    finally:
        lease.release(handover=False)
    return len(sessions), len(recordings)
