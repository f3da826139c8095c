"""Delivers the webhooks of the partitions that this process holds.

How it works. Each second a dispatcher asks for a lease on every partition, and the store shares them out among the
dispatchers that are alive. While one is held (`partition`), its outbox is read from the start and then followed as it
grows, and its retry queue is read when something in it is due (`reader`). A webhook is queued for its app
(`destination`), behind those of the same ordering key, which is a room or a session outside rooms (`ordering`). When it
is its turn (`limiter`), it is posted to the app's endpoint (`sender`). What follows is decided (`retry`) and stored
(`results`). Only then is the next of its ordering key sent.

So whichever process dies, the store still has each webhook that is not known to be delivered, and its successors are
sent after it. Only the partition's holder may write what became of a webhook: every script compares the fencing token.
Once the lease has lapsed by its own clock, a dispatcher sends nothing.

Webhooks in memory are bounded (`ordering`), as are attempts in flight (`limiter`), and no endpoint has all of either.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import gevent
import structlog
from gevent.lock import BoundedSemaphore
from gevent.pool import Group

from controller.errors import ScriptFailed, StoreUnavailable
from controller.metrics import leases_lost
from controller.outbound.network import Network
from controller.registry import Registry
from controller.store import keys
from controller.store.lease import LEASE_SECONDS, Lease
from controller.store.store import Step, Store
from controller.webhooks import metrics
from controller.webhooks.limiter import Limiter
from controller.webhooks.ordering import Window
from controller.webhooks.partition import Partition, Shared
from controller.webhooks.retry import Schedule
from controller.webhooks.sender import ATTEMPT_SECONDS, Traced, untraced

RENEW_SECONDS = 1.0
HANDOVER_SECONDS = 5.0  # attempts in flight get to end before a partition is given to another dispatcher

log = structlog.get_logger(__name__)


class Dispatcher:
    """`owner` names the process among all dispatchers. `reader` is a store of its own for the reads
    that wait; without one `store` is used. `concurrency` attempts at a time in all, `per_endpoint` to one
    app's endpoint. `clock` gives wall time in seconds, `chance` numbers in [0, 1). `traced` makes each attempt.
    Greenlets of one process may share it.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        owner: str,
        reader: Store | None = None,
        allow_private_networks: bool = False,
        concurrency: int = 256,
        per_endpoint: int = 8,
        attempt_seconds: float = ATTEMPT_SECONDS,
        schedule: Schedule | None = None,
        window: Window | None = None,
        network: Network | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        traced: Traced = untraced,
    ) -> None:
        self._store = store
        self._owner = owner
        self._window = window or Window()
        self._shared = Shared(
            store=store,
            following=reader or store,
            registry=registry,
            network=network or Network(allow_private=allow_private_networks),
            limiter=Limiter(concurrency, per_endpoint),
            window=self._window,
            schedule=schedule or Schedule(),
            timeout=attempt_seconds,
            clock=clock,
            chance=chance,
            traced=traced,
        )
        self._partitions: dict[str, Partition] = {}
        self._stopping = False
        self._renewing = BoundedSemaphore()
        self._loops = Group()

    @property
    def partitions(self) -> frozenset[str]:
        """Tags of the partitions that it holds at present."""
        return frozenset(self._partitions)

    def partition(self, tag: str) -> Partition:
        """Raises KeyError for one that it does not hold."""
        return self._partitions[tag]

    def start(self) -> None:
        """Returns at once; partitions are leased as they come free."""
        self._loops.spawn(self._renew_for_ever)

    def stop(self, timeout: float = 10.0) -> None:
        """Ends the attempts in flight, within `timeout` seconds, stores what they come to and hands the leases over."""
        self._stopping = True
        with self._renewing:  # one that runs ends first; later ones take no partition
            partitions = list(self._partitions.values())
        for partition in partitions:
            partition.is_yielding = True
        # Each goes as soon as it is drained; until then its lease is renewed.
        gevent.joinall([gevent.spawn(self._hand_over, tag, timeout, leaving=True) for tag in keys.TAGS])
        for partition in partitions:
            partition.kill()
        self._loops.kill()
        for partition in partitions:
            self._drop(partition)

    # Leases

    def _renew_for_ever(self) -> None:
        while True:
            try:
                self.renew()
                self._window.share(sum(partition.tidy() for partition in self._partitions.values()))
            except StoreUnavailable as error:
                log.warning("webhook leases not renewed", error=str(error))
            except Exception:
                log.exception("webhook leases not renewed")
            gevent.sleep(RENEW_SECONDS)

    def _step(self, tag: str, **more: bool) -> Step:
        partition = self._partitions.get(tag)
        args = {
            "owner": self._owner,
            "token": partition.lease.token if partition else 0,
            "ttl": int(LEASE_SECONDS * 1000),
            "number": keys.TAGS.index(tag),
        }
        return "delivery_lease", tag, {**args, **more}

    def renew(self) -> None:
        """Asks once for a lease on every partition, as is done each second from `start` on. Raises StoreUnavailable."""
        asked_at = time.monotonic()
        asking = dict(self._partitions)
        with self._renewing:
            replies = self._store.run_each([self._step(tag, keep=self._stopping) for tag in keys.TAGS])
        for tag, reply in zip(keys.TAGS, replies, strict=True):
            if isinstance(reply, ScriptFailed):
                # If it is held, nothing more is sent once the lease has lapsed.
                log.error("webhook lease not renewed", partition=tag, error=str(reply))
            elif asking.get(tag) is self._partitions.get(tag):  # else it was dropped meanwhile
                self._renewed(tag, asked_at, reply)
        if len(self._partitions) != len(asking):
            log.info("webhook partitions held", count=len(self._partitions), owner=self._owner)
        metrics.PARTITIONS.set(len(self._partitions))

    def _renewed(self, tag: str, asked_at: float, reply: dict[str, Any]) -> None:
        partition, token = self._partitions.get(tag), reply["token"]
        if partition is not None and partition.lease.token != token:
            log.warning("webhook partition lost", partition=tag)
            leases_lost.labels("partition").inc()
            self._drop(partition)
            partition = None
        if not token:
            return
        if partition is None:
            partition = self._take(tag, Lease(token, LEASE_SECONDS, asked_at), reply)
        partition.renewed(asked_at, reply)
        if reply.get("yield") and not partition.is_yielding:
            partition.is_yielding = True
            self._loops.spawn(self._hand_over, tag, HANDOVER_SECONDS, release=True)

    def _take(self, tag: str, lease: Lease, reply: dict[str, Any]) -> Partition:
        log.debug("webhook partition held", partition=tag, token=lease.token)
        held = {entry: (attempts, max(0.0, wait / 1000)) for entry, attempts, wait in reply["held"]}
        partition = self._partitions[tag] = Partition(tag, lease, held, self._shared, self._drop)
        partition.start()
        return partition

    def _hand_over(self, tag: str, timeout: float, **how: bool) -> None:
        """Gives a partition back once nothing of it is in flight, after `timeout` seconds in any case."""
        partition = self._partitions.get(tag)
        if partition is not None:
            partition.drain(timeout)
        try:
            self._store.run(*self._step(tag, **how))
        except (StoreUnavailable, ScriptFailed) as error:
            log.warning("webhook partition not handed over", partition=tag, error=str(error))
            if partition is not None:
                partition.is_yielding = self._stopping  # if it goes on, the next renewal asks for it again
            return
        if partition is not None:
            log.debug("webhook partition handed over", partition=tag)
            self._drop(partition)

    def _drop(self, partition: Partition) -> None:
        if self._partitions.get(partition.tag) is partition:
            del self._partitions[partition.tag]
        partition.close()
