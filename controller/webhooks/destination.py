"""One app's webhooks, and the way to its endpoint, while its partition is held."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

import gevent
import structlog

from controller.errors import StoreUnavailable
from controller.store.states import DeliveryState
from controller.webhooks.attempts import Attempts
from controller.webhooks.endpoint import Endpoints
from controller.webhooks.limiter import Limited, Limiter
from controller.webhooks.message import Webhook
from controller.webhooks.ordering import OrderingQueue, Window
from controller.webhooks.results import Results
from controller.webhooks.retry import STORE_RETRY_SECONDS, Attempt, Outcome, Schedule
from controller.webhooks.sender import Sender

IDLE_SECONDS = 60.0  # after which an app without webhooks is forgotten

log = structlog.get_logger(__name__)


class Destination(Limited):
    """Queues webhooks, sends each when it is its turn (`limiter`) and `may_send()` says so, and passes the outcome on
    (`results`). Until that is stored the next of the ordering key waits. `attempts`: the greenlets that send.
    `chance` gives numbers in [0, 1).
    """

    def __init__(
        self,
        app_id: str,
        *,
        endpoints: Endpoints,
        sender: Sender,
        limiter: Limiter,
        results: Results,
        attempts: Attempts,
        may_send: Callable[[], bool],
        schedule: Schedule,
        window: Window,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__()
        self.app_id = app_id
        self.queue = OrderingQueue()
        self.from_retry_queue = 0  # how many webhooks of `queue` are
        self._endpoints = endpoints
        self._sender = sender
        self._limiter = limiter
        self._results = results
        self._attempts = attempts
        self._may_send = may_send
        self._schedule = schedule
        self._window = window
        self._chance = chance

    def offer(self, webhook: Webhook) -> None:
        """Queues it, if it fits."""
        self.from_retry_queue += webhook.in_retry_queue
        if self.queue.offer(webhook, self._window.bytes):
            self._send_when_due(webhook)

    @property
    def needs_refill(self) -> bool:
        return self.queue.unread is not None and self.queue.size < self._window.bytes // 2

    def refill(self, webhooks: Iterable[Webhook], rest: str | None) -> bool:
        """Queues what did not fit before: as `OrderingQueue.refill`. Returns whether it all fits now."""
        for head in self.queue.refill(webhooks, rest, self._window.bytes):
            self._send_when_due(head)
        return self.queue.unread == rest

    def stored(self, webhook: Webhook, outcome: Outcome) -> None:
        """The outcome of an attempt is in the store: sends what waited for that."""
        if outcome.state == DeliveryState.HELD:
            webhook.attempts += 1
            webhook.wait = outcome.delay
            self._send_when_due(webhook)
            return
        self.from_retry_queue -= webhook.in_retry_queue
        head = self.queue.remove(webhook)
        if head is not None:
            self._send_when_due(head)

    @property
    def is_idle(self) -> bool:
        return self.queue.is_empty and time.monotonic() - max(self.used_at, self.paused_until) > IDLE_SECONDS

    def sweep(self) -> None:
        """Closes connections that are not used."""
        self._sender.sweep(time.monotonic())

    def close(self) -> None:
        """Attempts in flight end by themselves."""
        self._sender.close()

    # For the limiter

    @property
    def is_ready(self) -> bool:
        return self.queue.is_ready and self._may_send()

    def start(self, slow: bool) -> None:
        self._attempts.spawn(self._attempt, self.queue.take(), slow)

    def _send_when_due(self, head: Webhook) -> None:
        if head.wait:
            gevent.spawn_later(head.wait, self._retry, head)
        else:
            self._limiter.schedule(self)

    def _retry(self, head: Webhook) -> None:
        self.queue.retry(head)
        self._limiter.schedule(self)

    def _attempt(self, webhook: Webhook, slow: bool) -> None:
        started = time.monotonic()
        attempt: Attempt | None = None
        try:
            attempt = self._sender.send(webhook, self._endpoints.of(self.app_id))
        except StoreUnavailable as error:
            # Nothing is known of the app: this was no attempt.
            log.warning("app not looked up", app=self.app_id, error=str(error))
            gevent.spawn_later(STORE_RETRY_SECONDS, self._retry, webhook)
        except Exception:
            # Counts as a failed attempt, so that what cannot be sent does not hold up the ones behind it for ever.
            log.exception("webhook not sent", app=self.app_id, entry=webhook.entry)
            attempt = Attempt(error="internal error")
        finally:
            seconds = time.monotonic() - started
            has_responded = attempt is not None and attempt.status is not None
            self._limiter.finished(self, slow, seconds, has_responded=has_responded)
            if attempt is not None:
                self._report(webhook, attempt, seconds)
            self._limiter.schedule(self)

    def _report(self, webhook: Webhook, attempt: Attempt, seconds: float) -> None:
        if pause := attempt.demand.pause:
            # All webhooks of the app wait, so that none overtakes this one.
            self._limiter.pause(self, pause)
            gevent.spawn_later(pause, self._limiter.schedule, self)
        self._results.add(webhook, attempt, self._schedule.outcome(webhook, attempt, self._chance()), seconds)
