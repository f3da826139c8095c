"""What the store has on a node that is gone for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import gevent
import orjson

from controller.errors import Fenced
from controller.nodes.events import UNKNOWN_CAUSE
from controller.nodes.lease import NodeLease
from controller.nodes.node_worker import NodeUp
from controller.store import keys
from controller.store.lease import LEASE_SECONDS
from controller.store.store import Store

# Longer than a worker that was killed holds its nodes.
WAIT_SECONDS = LEASE_SECONDS + 2.0
PAUSE_SECONDS = 0.1


class Left(NamedTuple):
    """How much is on a node. Its recordings go on, or no relay has their files yet."""

    rooms: int
    sessions: int
    recordings: int

    def __str__(self) -> str:
        return ", ".join(f"{name}: {count}" for name, count in self._asdict().items() if count)


def left_on(store: Store, prefixes: Sequence[str]) -> dict[str, Left]:
    """What is on each node. Raises StoreUnavailable."""
    counts = store.run_many([("count", tag, {"nodes": prefixes}) for tag in keys.TAGS])
    return {
        prefix: Left(*(sum(count[what][prefix] for count in counts) for what in Left._fields)) for prefix in prefixes
    }


def left_behind(store: Store) -> dict[str, Left]:
    """The nodes that are not in the registry any more, and have something on them: nobody looks after it. Raises
    StoreUnavailable.
    """
    gone = store.gone_nodes()
    return {prefix: left for prefix, left in left_on(store, gone).items() if any(left)} if gone else {}


class Ended(NamedTuple):
    """What was on a node that is gone: how many sessions and recordings, and rooms that are on another node now."""

    sessions: int
    recordings: int
    rooms: int


def end_all_on(
    store: Store,
    prefix: str,
    owner: str,
    *,
    up: Mapping[str, NodeUp],
    choose: Callable[[str], str | None],
    wait: float = WAIT_SECONDS,
) -> Ended:
    """End the sessions, legs and recordings of a node that is not in the registry any more, as those of a node that
    was lost, and move its rooms to others. `up`: the nodes that are up, by prefix. `choose`: the node for a room of an
    app that has members on none of these, None if there is no node. `owner`: who holds the node's lease meanwhile.
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
        others = {"up": orjson.dumps(up).decode()}
        replies = lease.run_each(
            (
                "source_gone",
                keys.partition_of(room["app"]),
                {"room_id": room["id"], "other": choose(room["app"]), **others},
            )
            for room in rooms
        )
        moved = sum(reply.get("moved", False) for reply in replies)
        recordings, _ = lease.snapshot("recordings")
        lease.run_each(
            ("recording_lost", keys.partition_of(recording["app"]), {"recording_id": recording["id"]})
            for recording in recordings
        )
    finally:
        lease.release(handover=False)
    return Ended(len(sessions), len(recordings), moved)
