"""The lease on a node: taken, renewed and given back in the store, and the fence around what its holder writes.

How it works: the store keeps a lease for LEASE_SECONDS. Each new one has a token, which is one higher than the last.
The holder renews it every second or so, and sends the node no more commands once it may have lapsed. But a process
can be stopped between that check and its write, and go on much later. So every write carries the token: each
partition of the store keeps the highest token that it has seen, the fence, and refuses what carries a lower one. A
new holder raises the fence in all partitions before it does anything else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import structlog

from controller.errors import Fenced, ScriptFailed
from controller.store import keys
from controller.store.lease import LEASE_SECONDS, Lease
from controller.store.store import Reply, Step, Store, emit_endings

log = structlog.get_logger(__name__)

Row = dict[str, Any]

# For how long a node counts as reachable after its worker has said so.
REACHABLE_SECONDS = 6.0


class NodeLease:
    """The lease of `owner` on the node with `prefix`. Every method may raise StoreUnavailable."""

    def __init__(self, store: Store, prefix: str, owner: str, lease: Lease) -> None:
        self._store = store
        self._prefix = prefix
        self._owner = owner
        self._lease = lease

    @classmethod
    def take(cls, store: Store, prefix: str, owner: str) -> NodeLease | None:
        """None if another worker holds the node."""
        asked_at = time.monotonic()
        token = store.run(*_ask(prefix, owner)).get("token")
        return None if token is None else cls(store, prefix, owner, Lease(token, LEASE_SECONDS, asked_at))

    def renewal(self, *, up: bool, load: int, calls: int, core_uuid: str) -> Step:
        """The step that keeps the lease, and publishes whether the node is reachable, and how much is on it: its
        sessions and rooms (`load`), and its sessions alone (`calls`).
        """
        return _ask(self._prefix, self._owner, up=up, load=load, calls=calls, core_uuid=core_uuid)

    def renewed(self, asked_at: float, reply: Reply) -> None:
        """The reply to that step. `asked_at`: on the monotonic clock, before the store was asked.

        Raises Fenced if another worker holds the node, or has held it.
        """
        token = reply.get("token")
        if token == self._lease.token + 1:
            # It lapsed while the store was away, and nobody else took it: nothing was missed.
            self._lease.token = token
            self.raise_fence()
        elif token != self._lease.token:
            raise Fenced
        self._lease.renewed(asked_at)

    def release(self, *, handover: bool) -> None:
        """Give it back. With `handover` the node goes on to count as reachable."""
        self._store.run("release", keys.node_tag(self._prefix), {"owner": self._owner, "handover": handover})

    @property
    def token(self) -> int:
        """It goes with every write of its holder."""
        return self._lease.token

    @property
    def is_valid(self) -> bool:
        """Whether no other worker can hold the node yet."""
        return self._lease.is_valid

    def check(self) -> None:
        """Raises Fenced if another worker may hold the node by now."""
        if not self.is_valid:
            raise Fenced

    # What the holder writes

    def raise_fence(self) -> None:
        """From here on the store refuses what an earlier holder writes."""
        self.run_everywhere("fence")

    def read(self, steps: Iterable[Step]) -> list[Reply]:
        """Run steps that only read, in one round trip. Raises ScriptFailed if one failed, and Fenced as `run_each`."""
        return self._store.run_many(self._as_holder(steps))

    def run_each(self, steps: Iterable[Step]) -> list[Reply]:
        """Run steps, in one round trip. One that failed is logged and holds up no other; its reply is empty.

        Raises Fenced if another worker holds the node.
        """
        steps = self._as_holder(steps)
        replies: list[Reply] = []
        for (_, tag, _), reply in zip(steps, self._store.run_each(steps), strict=True):
            if isinstance(reply, ScriptFailed):
                log.error("step of the store failed", node=self._prefix, reason=str(reply))
                replies.append({})
            else:
                emit_endings(self._store, tag, reply)
                replies.append(reply)
        return replies

    def run_everywhere(self, script: str, *, seconds: float = math.inf, **args: Any) -> list[Reply]:
        """As `run_each`: a step in every partition, and again where it says that there is `more`, unless it has taken
        so many `seconds` by then. Returns all.
        """
        replies: list[Reply] = []
        tags: Sequence[str] = keys.TAGS
        give_up_at = time.monotonic() + seconds
        while tags and (not replies or time.monotonic() < give_up_at):
            found = self.run_each((script, tag, args) for tag in tags)
            replies += found
            tags = [tag for tag, reply in zip(tags, found, strict=True) if reply.get("more")]
        return replies

    def snapshot(self, what: str) -> tuple[list[Row], set[str]]:
        """The node's `sessions` or `rooms` in the store, read in parts, and the ids of those that are broken."""
        rows: dict[str, Row] = {}
        broken: set[str] = set()
        cursors = dict.fromkeys(keys.TAGS, "0")
        while cursors:
            replies = self.read(("snapshot", tag, {"what": what, "cursor": cursor}) for tag, cursor in cursors.items())
            found = dict(zip(cursors, replies, strict=True))
            rows |= {row["id"]: row for reply in replies for row in reply["rows"]}
            broken |= {record for reply in replies for record, _ in reply.get("broken", ())}
            cursors = {tag: reply["cursor"] for tag, reply in found.items() if reply["cursor"] != "0"}
        return list(rows.values()), broken

    def _as_holder(self, steps: Iterable[Step]) -> list[Step]:
        node = {"node": self._prefix, "token": self._lease.token}
        return [(script, tag, {**args, **node}) for script, tag, args in steps]


def _ask(prefix: str, owner: str, **state: Any) -> Step:
    times = {"ttl": int(LEASE_SECONDS * 1000), "live_ttl": int(REACHABLE_SECONDS * 1000)}
    return "lease", keys.node_tag(prefix), {"owner": owner, **times, **state}
