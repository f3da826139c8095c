"""One partition of the apps, while this process holds its deliveries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import gevent
import structlog
from gevent.pool import Group

from controller.errors import Fenced
from controller.metrics import leases_lost
from controller.outbound.network import Network
from controller.registry import Registry
from controller.store.lease import Lease
from controller.store.states import DeliveryState
from controller.store.store import Store
from controller.webhooks.attempts import Attempts
from controller.webhooks.destination import Destination
from controller.webhooks.endpoint import Endpoints
from controller.webhooks.limiter import Limiter
from controller.webhooks.message import Webhook
from controller.webhooks.ordering import Window
from controller.webhooks.reader import Outbox, RetryQueue
from controller.webhooks.results import Result, Results
from controller.webhooks.retry import Schedule
from controller.webhooks.sender import Sender, Traced

UNSTORED_SECONDS = 60.0  # until a webhook of the retry queue is sent again whose result could not be stored

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the partitions of a process have in common. `following`: a store of its own for the reads that wait.
    `timeout`: seconds for an attempt, which `traced` makes. `clock` gives wall time in seconds, `chance` numbers in
    [0, 1).
    """

    store: Store
    following: Store
    registry: Registry
    network: Network
    limiter: Limiter
    window: Window
    schedule: Schedule
    timeout: float
    clock: Callable[[], float]
    chance: Callable[[], float]
    traced: Traced


class Partition:
    """Reads webhooks and has them sent, each app's to its `Destination`, as long as `lease` is valid and `is_yielding`
    is not set. `held`: by entry of each held webhook, how often it was attempted, and the seconds until it may be
    again. `lost`: called when it can no longer go on.
    """

    def __init__(
        self,
        tag: str,
        lease: Lease,
        held: Mapping[str, tuple[int, float]],
        shared: Shared,
        lost: Callable[[Partition], None],
    ) -> None:
        self.tag = tag
        self.lease = lease
        self.is_yielding = False
        self.endpoints = Endpoints(shared.store, shared.registry)
        self.destinations: dict[str, Destination] = {}
        self._held = dict(held)
        self._shared = shared
        self._lost = lost
        self._is_closed = False
        self._outbox = Outbox(shared.store, shared.following, tag)
        self._retry_queue = RetryQueue(self._step, self._busy)
        self._results = Results(
            tag, self._step, shared.registry.quotas_of, self._stored, self._not_stored, shared.clock
        )
        self._refilling: set[str] = set()
        self._loops = Group()
        self._attempts = Attempts()

    def start(self) -> None:
        for loop in (self._follow_outbox, self._follow_retry_queue, self._results.run):
            self._loops.spawn(self._guard, loop)

    def renewed(self, asked_at: float, reply: Mapping[str, Any]) -> None:
        """The lease was taken or renewed. `reply`: what delivery_lease.lua says of the partition."""
        self.lease.renewed(asked_at)
        self.endpoints.refresh(reply["endpoints"])
        if "aside" in reply:
            self._retry_queue.due_in(reply["aside"] / 1000)
        self._shared.limiter.schedule(*self.destinations.values())

    def tidy(self) -> int:
        """Forgets what is not used. Returns how many apps have webhooks here."""
        for app_id, destination in list(self.destinations.items()):
            destination.sweep()
            if destination.is_idle:
                destination.close()
                del self.destinations[app_id]
                self.endpoints.forget(app_id)
        return sum(not destination.queue.is_empty for destination in self.destinations.values())

    def drain(self, timeout: float) -> None:
        """Waits until no attempt is in flight and all results are stored, `timeout` seconds at the most."""
        with suppress(TimeoutError), gevent.Timeout(timeout, TimeoutError()):
            self._attempts.join()
            self._results.join()

    def close(self) -> None:
        """Attempts in flight end by themselves, and what they come to is not stored."""
        self._is_closed = True
        self._loops.kill(block=False)
        self._attempts.close()
        for destination in self.destinations.values():
            destination.close()

    def kill(self) -> None:
        """Ends the attempts in flight."""
        self._attempts.kill()

    # Reading

    def _follow_outbox(self) -> None:
        for entries in self._outbox.follow():
            for entry, fields in entries:
                webhook = self._webhook(entry, fields)
                if webhook is None:
                    self._results.add_malformed(entry)
                else:
                    self._destination(webhook.app_id).offer(webhook)

    def _follow_retry_queue(self) -> None:
        for webhooks in self._retry_queue.follow():
            for webhook in webhooks:
                self._destination(webhook.app_id).offer(webhook)

    def _refill(self, destination: Destination) -> None:
        """Reads what did not fit, of the one app, up to where the partition as a whole has been read."""
        fits = True
        while fits and destination.queue.unread is not None:
            entries, rest = self._outbox.read(destination.queue.unread)
            # No other greenlet runs from here to the end of the loop's body, so none offers a webhook in between.
            found = (self._webhook(*entry) for entry in entries)
            webhooks = [webhook for webhook in found if webhook and webhook.app_id == destination.app_id]
            fits = destination.refill(webhooks, rest)
        self._refilling.discard(destination.app_id)

    def _webhook(self, entry: str, fields: Mapping[bytes, bytes]) -> Webhook | None:
        webhook = Webhook.from_entry(entry, fields)
        if webhook is not None and entry in self._held:
            webhook.attempts, webhook.wait = self._held[entry]
        return webhook

    # Sending

    def _destination(self, app_id: str) -> Destination:
        found = self.destinations.get(app_id)
        if found is None:
            shared = self._shared
            found = self.destinations[app_id] = Destination(
                app_id,
                endpoints=self.endpoints,
                sender=Sender(app_id, shared.network, timeout=shared.timeout, clock=shared.clock, traced=shared.traced),
                limiter=shared.limiter,
                results=self._results,
                attempts=self._attempts,
                may_send=self._may_send,
                schedule=shared.schedule,
                window=shared.window,
                chance=shared.chance,
            )
        return found

    def _may_send(self) -> bool:
        return self.lease.is_valid and not self.is_yielding and not self._is_closed

    def _busy(self) -> list[str]:
        return [app_id for app_id, destination in self.destinations.items() if destination.from_retry_queue]

    # Storing

    def _step(self, script: str, **args: Any) -> dict[str, Any]:
        """A step that only the partition's holder may make. Raises Fenced for any other, and StoreUnavailable."""
        return self._shared.store.run(script, self.tag, {"token": self.lease.token, **args})

    def _stored(self, results: Iterable[Result], endpoints: int) -> None:
        self.endpoints.refresh(endpoints)
        for result in results:
            self._go_on(result)

    def _not_stored(self, result: Result) -> None:
        """It holds up no other, and is sent again when the partition is leased anew. In the retry queue it would be
        due at once, so it goes on to count as being sent for a while.
        """
        if result.webhook is not None and result.webhook.in_retry_queue:
            self._loops.add(gevent.spawn_later(UNSTORED_SECONDS, self._go_on, result))
        else:
            self._go_on(result)

    def _go_on(self, result: Result) -> None:
        """Sends what waited for a result."""
        webhook, outcome = result.webhook, result.outcome
        if webhook is None:
            return
        destination = self._destination(webhook.app_id)
        self._held.pop(webhook.entry, None)
        destination.stored(webhook, outcome)
        if outcome.state == DeliveryState.ASIDE:
            self._retry_queue.due_in(outcome.delay)
        if webhook.in_retry_queue and not destination.from_retry_queue:
            self._retry_queue.due_in(0)
        if destination.needs_refill and destination.app_id not in self._refilling:
            self._refilling.add(destination.app_id)
            self._loops.spawn(self._guard, partial(self._refill, destination))

    def _guard(self, loop: Callable[[], None]) -> None:
        """Runs a loop. If that fails, gives the partition up to be leased anew, instead of holding it undelivered."""
        try:
            loop()
        except Fenced:
            log.warning("webhook partition lost", partition=self.tag)
            leases_lost.labels("partition").inc()
        except Exception:
            log.exception("webhook partition given up", partition=self.tag)
        else:
            return
        self._lost(self)
