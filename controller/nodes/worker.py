"""A worker process: it holds nodes by leases, shares them evenly with other workers, and reads their commands.

How it works: every TICK_SECONDS a worker renews its leases, all in one round trip, and again whenever what else it does
then for its nodes, one after the other, has taken that long. It publishes how many nodes it holds, and looks for nodes
that nobody holds: new ones, and those of a worker that has died. It takes its share of them. If another worker holds
fewer, it waits a tick, so that the other may come first. If it holds two more than another, it gives one up, so the
numbers even out by one node a tick. Each node held has a `NodeWorker`.

Commands wait in streams, one for each node and partition. On a single server one greenlet follows all of them. On a
cluster a read cannot span partitions, so each partition has a greenlet of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import gevent
import structlog
from gevent.event import Event as Flag

from controller.errors import Fenced, ScriptFailed, StoreUnavailable
from controller.ids import SessionIds
from controller.media.client import Preparer
from controller.metrics import leases_lost, nodes_held
from controller.nodes.audit import Intervals
from controller.nodes.lease import NodeLease
from controller.nodes.node_worker import (
    MAX_TAKEN,
    NodeUp,
    NodeWorker,
    Places,
    RecordingLimits,
    Turn,
)
from controller.registry import Node, Registry
from controller.store import keys
from controller.store.lease import LEASE_SECONDS
from controller.store.store import BEGINNING, Entry, Reply, Store

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
# After which a node that nobody reaches counts as down: it may just be changing hands.
DOWN_SECONDS = 5.0
# How long a read of the command streams waits for the first. Less than the reader's timeout.
WAIT_SECONDS = 0.5
# Before the next read, when there is no node, or when a read failed.
IDLE_SECONDS = 0.1
RETRY_SECONDS = 0.5


class Worker:
    """Holds its share of the nodes. `reader` is a store for blocking reads: its timeout must exceed WAIT_SECONDS.

    `session_key` is the same for all workers of a store (see `SessionIds`). `relays` prepare what nodes play,
    `places` are where recordings are put.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        reader: Store,
        owner: str,
        session_key: bytes,
        relays: Preparer,
        places: Places | None = None,
        recordings: RecordingLimits | None = None,
        audit_seconds: float = Intervals.usual,
    ) -> None:
        self._store = store
        self._registry = registry
        self._reader = reader
        self._owner = owner
        self._session_key = session_key
        self._relays = relays
        self._places = places
        self._recordings = recordings or RecordingLimits()
        self._intervals = Intervals(usual=audit_seconds)
        self._held: dict[str, NodeWorker] = {}
        # Those that it is about to give up: the ends of their links may take a while.
        self._leaving: dict[str, gevent.Greenlet[..., None]] = {}
        # When the leases were renewed last, on the monotonic clock.
        self._renewed_at = float("-inf")
        # Nodes that nobody held at the last tick.
        self._free: set[str] = set()
        # Since when a node has been reached by no worker, on the monotonic clock.
        self._unreached_since: dict[str, float] = {}
        self._stopping = Flag()
        self._greenlets: list[gevent.Greenlet[..., Any]] = []

    def start(self) -> None:
        readers = (gevent.spawn(self._read, tags) for tags in self._store.followed_together)
        self._greenlets = [gevent.spawn(self._hold), *readers]

    def stop(self, timeout: float = 10.0) -> None:
        """Take no more, finish what was taken, cut the links, hand the leases over."""
        self._stopping.set()
        gevent.joinall(self._greenlets, timeout=timeout)
        gevent.killall(self._greenlets, timeout=1.0)
        others: list[int] = []
        with suppress(StoreUnavailable):
            others = self._others(leaving=True)
        for prefix in list(self._held):
            self._let_go(prefix, handover=bool(others))
        gevent.joinall(list(self._leaving.values()))

    def turn(self, prefix: str) -> AbstractContextManager[Turn | None]:
        """The turn to send commands to a node, in a `with`: None if this worker does not hold it, or it is not free."""
        held = self._held.get(prefix)
        return held.turn() if held else nullcontext()

    def is_up(self, prefix: str) -> bool:
        """Whether a node is up that this worker holds. Of all others it knows nothing."""
        held = self._held.get(prefix)
        return held is not None and held.is_up

    # Leases

    def _hold(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self._tick()
            except StoreUnavailable as error:
                log.warning("leases not renewed", reason=str(error))
            except Exception:
                log.exception("leases not renewed")
            self._stopping.wait(max(0.0, TICK_SECONDS - (time.monotonic() - started)))

    def _tick(self) -> None:
        nodes = {node.prefix: node for node in self._registry.nodes()}
        for prefix, held in list(self._held.items()):
            if nodes.get(prefix) is None or _address(nodes[prefix]) != _address(held.node):
                self._let_go(prefix)
        self._renew()
        up = self._find_up(nodes)
        for prefix, held in list(self._held.items()):
            self._renew_if_due()
            if prefix in self._held:
                with self._keeping(prefix, "what is overdue is not handled"):
                    held.sweep(up)
        others = self._others()
        nodes_held.set(len(self._held))
        if len(self._held) - min(others, default=len(self._held)) > 1:
            # One that is on its way to the other counts for neither yet.
            if not self._leaving:
                self._let_go(next(iter(self._held)), handover=True)
        else:
            self._take_free(nodes, others)
        # Last, so that this delays no lease.
        try:
            watched = self._store.watched()
        except (ScriptFailed, StoreUnavailable) as error:
            log.warning("which rooms are watched is not known", reason=str(error))
            return
        for prefix, held in list(self._held.items()):
            held.watch(watched.get(prefix, ()))

    def _renew(self) -> None:
        """In one round trip, so that no other greenlet comes between the leases."""
        self._renewed_at = asked_at = time.monotonic()
        held = list(self._held.items())
        replies: Sequence[Reply | ScriptFailed | None]
        try:
            replies = self._store.run_each([node.renewal() for _, node in held])
        except StoreUnavailable:
            # Maybe one server of a cluster: the leases on the others must not lapse for that.
            replies = [None] * len(held)
        for (prefix, node), reply in zip(held, replies, strict=True):
            with self._keeping(prefix, "lease not renewed"):
                if isinstance(reply, ScriptFailed):
                    raise reply
                if reply is None:
                    node.renew()
                else:
                    node.renewed(asked_at, reply)

    def _renew_if_due(self) -> None:
        if time.monotonic() - self._renewed_at >= TICK_SECONDS:
            self._renew()

    @contextmanager
    def _keeping(self, prefix: str, problem: str) -> Iterator[None]:
        """Logs the `problem` that a node has, so that it holds up no other, and lets the node go if it is another's."""
        try:
            yield
        except Fenced:
            log.warning("node held by another worker", node=prefix)
            leases_lost.labels("node").inc()
            self._let_go(prefix)
        except StoreUnavailable as error:
            log.warning(problem, node=prefix, reason=str(error))
        except Exception:
            log.exception(problem, node=prefix)

    def _find_up(self, nodes: Mapping[str, Node]) -> dict[str, NodeUp]:
        """The nodes without those that nobody has reached for a while."""
        now = time.monotonic()
        unreached = nodes.keys() - self._store.loads(list(nodes)).keys()
        self._unreached_since = {prefix: self._unreached_since.get(prefix, now) for prefix in unreached}
        return {
            prefix: {"open": not node.drained, "reached": prefix not in unreached}
            for prefix, node in nodes.items()
            if now - self._unreached_since.get(prefix, now) < DOWN_SECONDS
        }

    def _others(self, **leaving: bool) -> list[int]:
        """How many nodes each other worker holds."""
        args = {"owner": self._owner, "held": len(self._held), "ttl": int(LEASE_SECONDS * 1000), **leaving}
        return list(self._store.run("workers", keys.REGISTRY, args)["others"])

    def _take_free(self, nodes: dict[str, Node], others: list[int]) -> None:
        """Take a share of the nodes that nobody holds. A worker that holds more than another waits a tick first."""
        not_ours = [prefix for prefix in nodes if prefix not in self._held and prefix not in self._leaving]
        taken = self._store.holders(not_ours)
        free = [prefix for prefix in not_ours if prefix not in taken]
        waits = len(self._held) > min(others, default=len(self._held))
        ready = [prefix for prefix in free if not waits or prefix in self._free]
        self._free = set(free)
        for prefix in ready[: math.ceil(len(ready) / (len(others) + 1))]:
            self._renew_if_due()
            try:
                self._take(nodes[prefix])
            except StoreUnavailable as error:
                log.warning("node not taken", node=prefix, reason=str(error))
            except Exception:
                log.exception("node not taken", node=prefix)

    def _take(self, node: Node) -> None:
        """Take a node, unless another worker holds it. If that fails the lease lapses by itself."""
        if lease := NodeLease.take(self._store, node.prefix, self._owner):
            ids = SessionIds(node.prefix, self._session_key)
            held = NodeWorker(
                node,
                lease,
                self._store,
                self._registry,
                ids,
                intervals=self._intervals,
                relays=self._relays,
                places=self._places,
                limits=self._recordings,
            )
            held.start()
            self._held[node.prefix] = held

    def _let_go(self, prefix: str, *, handover: bool = False) -> None:
        """Beside all else: what it waits for delays no lease."""
        self._leaving[prefix] = gevent.spawn(self._stop, prefix, self._held.pop(prefix), handover)

    def _stop(self, prefix: str, held: NodeWorker, handover: bool) -> None:
        try:
            held.stop(handover=handover)
        except Exception:
            log.exception("node not let go", node=prefix)
        finally:
            del self._leaving[prefix]

    # Commands

    def _read(self, tags: Sequence[str]) -> None:
        """Follow the command streams of these partitions. To read an entry twice is harmless: it is taken once."""
        last: dict[str, str] = {}
        while not self._stopping.is_set():
            streams = {
                keys.key(tag, "commands", prefix): (tag, held) for prefix, held in self._held.items() for tag in tags
            }
            if not streams:
                self._stopping.wait(IDLE_SECONDS)
                continue
            try:
                positions = {stream: last.get(stream, BEGINNING) for stream in streams}
                for stream, entries in self._reader.follow(positions, count=MAX_TAKEN, wait=WAIT_SECONDS).items():
                    tag, held = streams[stream]
                    if self._take_commands(held, tag, entries):
                        last[stream] = entries[-1][0]
                    else:
                        self._stopping.wait(IDLE_SECONDS)
            except StoreUnavailable as error:
                log.warning("commands not read", reason=str(error))
                self._stopping.wait(RETRY_SECONDS)
            except Exception:
                log.exception("commands not read")
                self._stopping.wait(RETRY_SECONDS)

    def _take_commands(self, held: NodeWorker, tag: str, entries: Sequence[Entry]) -> bool:
        """Returns whether they are taken. One node's trouble holds up no other's commands."""
        try:
            held.take(tag, entries)
        except Fenced:
            return False
        except StoreUnavailable as error:
            log.warning("commands not taken", node=held.node.prefix, reason=str(error))
            return False
        except Exception:
            log.exception("commands not taken", node=held.node.prefix)
            return False
        return True


def _address(node: Node) -> tuple[str, str, str]:
    return node.esl, node.password, node.profile
