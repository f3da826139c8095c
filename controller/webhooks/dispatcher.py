"""Delivers the webhooks of the partitions that this process holds.

A partition's life: leased, its outbox read from the start, then followed as it grows, until the lease is
handed over or lost. Only its holder may write what became of a webhook: every script compares the fencing
token. A webhook's life: read, queued in its lane, attempted, and its result stored, before the next of its
lane is sent. So whatever is killed whenever, the store still has each webhook that is not known to be
delivered, and its successors come after it.

What waits is bounded (`lanes`), what is under way is bounded (`_Places`), and neither lets one endpoint have
all of it.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import gevent
import orjson
import structlog
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.pool import Group

from controller.errors import StoreUnavailable
from controller.outbound.network import Network
from controller.registry import App, Registry
from controller.signing import parse_secret, sign
from controller.store import keys
from controller.store.store import Entry, Fields, Store
from controller.webhooks import metrics
from controller.webhooks.connection import AttemptFailed, Connections
from controller.webhooks.endpoint import Endpoint
from controller.webhooks.message import Webhook, webhook_id
from controller.webhooks.ordering import Lanes
from controller.webhooks.retry import NOTHING, Demand, Schedule, Step, demand

ATTEMPT_SECONDS = 15.0
LEASE_SECONDS = 3.0  # a dead dispatcher's partitions are taken over that much later, and a renewal
RENEW_SECONDS = 1.0
HANDOVER_SECONDS = 5.0  # attempts under way get to end before a partition is given to another dispatcher
SLOW_SECONDS = 1.0  # an endpoint that takes longer for an attempt counts as slow
FIRST_LIMIT = 2  # attempts at a time to an endpoint that has not answered yet; doubles with each answer
WAIT_SECONDS = 5.0  # that a read of the outbox waits for news, but half the store's timeout at the most
PAGE = 200  # entries of the outbox read at a time
BATCH = 100  # results stored in one step
ASIDE_PAGE = 16  # of an app's webhooks that went aside, loaded at a time
ASIDE_TOTAL = 128
WAITING_BYTES = 64 << 20  # of webhooks that wait in memory, shared by the apps that have any
WINDOW_BYTES = (64 << 10, 4 << 20)  # the least and the most of it that an app gets
RETRY_SECONDS = 0.5  # until the store is asked again when it gave no answer
IDLE_SECONDS = 60.0  # after which an app without webhooks is forgotten

log = structlog.get_logger(__name__)


class Dispatcher:
    """`owner` names the process among all dispatchers. `reader` is a store of its own for the reads
    that wait; without one `store` is used. `concurrency` attempts at a time in all, `per_endpoint` to one
    app's endpoint. `clock` gives wall time in seconds, `chance` numbers in [0, 1). Greenlets of one process
    may share it.
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
        network: Network | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._registry = registry
        self._owner = owner
        self._reader = reader or store
        self._wait = min(WAIT_SECONDS, self._reader.timeout / 2)
        self._network = network or Network(allow_private=allow_private_networks)
        self._schedule = schedule or Schedule()
        self._attempt_seconds = attempt_seconds
        self._clock = clock
        self._chance = chance
        self._places = _Places(concurrency, per_endpoint)
        self._partitions: dict[str, _Partition] = {}
        self._window = WINDOW_BYTES[1]
        self._stopping = False
        self._renewing = BoundedSemaphore()
        self._loops = Group()
        self._attempts = Group()

    @property
    def partitions(self) -> frozenset[str]:
        """Tags of the partitions that it holds at present."""
        return frozenset(self._partitions)

    def start(self) -> None:
        """Returns at once; partitions are leased as they come free."""
        self._loops.spawn(self._lease_loop)

    def stop(self, timeout: float = 10.0) -> None:
        """Ends the attempts under way, within `timeout` seconds, stores their results and hands the leases
        over.
        """
        self._stopping = True
        with self._renewing:  # one that was asked for before takes no partition from now on
            partitions = list(self._partitions.values())
        for partition in partitions:
            partition.yielding = True
        # Each goes as soon as it is quiet; until then its lease is renewed.
        leaving = [gevent.spawn(self._hand_over, tag, timeout, leaving=True) for tag in keys.TAGS]
        gevent.joinall(leaving)
        self._attempts.kill()
        self._loops.kill()
        for partition in partitions:
            self._drop(partition)

    # Leases

    def _lease_step(self, tag: str, **more: bool) -> tuple[str, str, dict[str, Any]]:
        held = self._partitions.get(tag)
        args = {
            "owner": self._owner,
            "token": held.token if held else 0,
            "ttl": int(LEASE_SECONDS * 1000),
            "number": keys.TAGS.index(tag),
        }
        return "delivery_lease", tag, {**args, **more}

    def _lease_loop(self) -> None:
        while True:
            try:
                self._renew()
                self._tidy()
            except StoreUnavailable as error:
                log.warning("webhook leases not renewed", error=str(error))
            except Exception:
                log.exception("webhook leases not renewed")
            gevent.sleep(RENEW_SECONDS)

    def _renew(self) -> None:
        asked = time.monotonic()
        asking = dict(self._partitions)
        with self._renewing:
            steps = [self._lease_step(tag, keep=self._stopping) for tag in keys.TAGS]
            answers = self._store.run_many(steps)
        for tag, answer in zip(keys.TAGS, answers, strict=True):
            held = asking.get(tag)
            if held is not self._partitions.get(tag):
                continue
            token = answer["token"]
            if held and held.token != token:
                log.warning("webhook partition lost", partition=tag)
                self._drop(held)
            if not token:
                continue
            if held is None or held.token != token:
                held = self._claim(tag, token, answer.get("held", ()))
            held.valid_until = asked + LEASE_SECONDS
            held.settings_are(answer["endpoints"])
            if "aside" in answer:
                held.aside_in(answer["aside"] / 1000)
            if answer.get("yield") and not held.yielding:
                held.yielding = True
                self._loops.spawn(self._hand_over, tag, HANDOVER_SECONDS, release=True)
            self._enqueue(held.endpoints.values())
        if len(self._partitions) != len(asking):
            log.info("webhook partitions held", count=len(self._partitions), owner=self._owner)
        metrics.PARTITIONS.set(len(self._partitions))

    def _claim(self, tag: str, token: int, held: Iterable[tuple[str, int, int]]) -> _Partition:
        log.debug("webhook partition held", partition=tag, token=token)
        partition = _Partition(tag, token)
        partition.held = {entry: (attempts, wait / 1000) for entry, attempts, wait in held}
        self._partitions[tag] = partition
        for loop in (self._follow, self._settle_loop, self._aside_loop):
            partition.loops.spawn(self._guard, partition, loop)
        return partition

    def _guard(self, partition: _Partition, loop: Callable[[_Partition], None]) -> None:
        """A partition whose loop ended by a fault is given up and leased anew, not held and left undelivered."""
        try:
            loop(partition)
        except Exception:
            log.exception("webhook partition given up", partition=partition.tag)
            gevent.spawn(self._drop, partition)

    def _hand_over(self, tag: str, timeout: float, **how: bool) -> None:
        """Gives a partition back once nothing of it is under way, after `timeout` seconds in any case."""
        partition = self._partitions.get(tag)
        if partition is not None:
            partition.quiet.wait(timeout)
        try:
            self._store.run(*self._lease_step(tag, **how))
        except StoreUnavailable:
            log.warning("webhook partition not handed over", partition=tag)
            if partition is not None:
                partition.yielding = self._stopping  # when not stopping, the next renewal says so again
            return
        if partition is not None:
            log.debug("webhook partition handed over", partition=tag)
            self._drop(partition)

    def _drop(self, partition: _Partition) -> None:
        """Forgets it. Attempts under way end by themselves, and what they bring is not stored."""
        partition.lost = True
        if self._partitions.get(partition.tag) is partition:
            del self._partitions[partition.tag]
        partition.loops.kill(block=False)
        for endpoint in partition.endpoints.values():
            endpoint.close()

    def _tidy(self) -> None:
        now = time.monotonic()
        waiting = 0
        for partition in self._partitions.values():
            for app, endpoint in list(partition.endpoints.items()):
                if endpoint.connections:
                    endpoint.connections.sweep(now)
                waiting += not endpoint.lanes.is_empty
                if endpoint.lanes.is_empty and now - max(endpoint.used_at, endpoint.paused_until) > IDLE_SECONDS:
                    endpoint.close()
                    del partition.endpoints[app]
        least, most = WINDOW_BYTES
        self._window = max(least, min(most, WAITING_BYTES // max(waiting, 1)))

    # Reading

    def _follow(self, partition: _Partition) -> None:
        """Reads the outbox from its start, then waits for what is added. One such read waits for each
        partition: the outboxes are in different slots of a cluster, so no read covers two.
        """
        while True:
            try:
                news = self._reader.follow({partition.outbox: partition.cursor}, count=PAGE, wait=self._wait)
            except StoreUnavailable as error:
                log.warning("outbox not read", partition=partition.tag, error=str(error))
                gevent.sleep(RETRY_SECONDS)
                continue
            for entries in news.values():
                self._accept(partition, entries)

    def _page(self, partition: _Partition, start: str, end: str) -> list[Entry]:
        while True:
            try:
                return self._store.read(partition.outbox, start, end, count=PAGE)
            except StoreUnavailable as error:
                log.warning("outbox not read", partition=partition.tag, error=str(error))
                gevent.sleep(RETRY_SECONDS)

    def _accept(self, partition: _Partition, entries: list[Entry]) -> None:
        """New entries, in order."""
        for entry, fields in entries:
            partition.cursor = entry
            webhook = _webhook(entry, fields)
            if webhook is None:
                row = {
                    "id": partition.cursor,
                    "app": "",
                    "n": 1,
                    "step": "skipped",
                    "delay": 0,
                    "type": "unknown",
                }
                partition.report(None, None, {**row, "log": {"webhook": partition.cursor, "error": "malformed"}})
                continue
            self._offer(partition.endpoint(webhook.app), webhook)

    def _offer(self, endpoint: _Endpoint, webhook: Webhook) -> None:
        if webhook.entry in endpoint.partition.held:
            webhook.attempts, webhook.wait = endpoint.partition.held[webhook.entry]
            webhook.wait = max(webhook.wait, 0.0)
        if endpoint.lanes.offer(webhook, self._window):
            self._head(endpoint, webhook)

    def _head(self, endpoint: _Endpoint, webhook: Webhook) -> None:
        """A lane has a new head: it is sent, at once or when its wait is over."""
        if webhook.wait:
            gevent.spawn_later(webhook.wait, self._wake, endpoint, webhook)
        else:
            self._enqueue((endpoint,))

    def _wake(self, endpoint: _Endpoint, webhook: Webhook) -> None:
        if not endpoint.partition.lost:
            endpoint.lanes.wake(webhook)
            self._enqueue((endpoint,))

    def _refill(self, endpoint: _Endpoint) -> None:
        """Reads what did not fit, of the one app, up to where the partition as a whole has been read."""
        partition, lanes = endpoint.partition, endpoint.lanes
        position = lanes.unread
        while position is not None:
            end = partition.cursor
            page = self._page(partition, position, end)
            # From here to the end of the loop's body nothing else runs.
            lanes.unread = None
            for entry, fields in page:
                if fields.get(b"app") == endpoint.app.encode() and (webhook := _webhook(entry, fields)):
                    self._offer(endpoint, webhook)
            if lanes.unread is not None or (len(page) < PAGE and partition.cursor == end):
                break
            position = lanes.unread = f"({page[-1][0] if len(page) == PAGE else end}"
        endpoint.refilling = False

    def _aside_loop(self, partition: _Partition) -> None:
        """Brings back the webhooks that left their lanes, when they are due."""
        while True:
            wait = None if partition.aside_at is None else max(0.0, partition.aside_at - time.monotonic())
            partition.aside.wait(wait)
            partition.aside.clear()
            if partition.aside_at is None or time.monotonic() < partition.aside_at:
                continue
            busy = {endpoint.app: True for endpoint in partition.endpoints.values() if endpoint.alone}
            args = {"token": partition.token, "page": ASIDE_PAGE, "total": ASIDE_TOTAL, "busy": busy}
            partition.aside_at = None
            try:
                answer = self._store.run("delivery_aside", partition.tag, args)
            except StoreUnavailable:
                partition.aside_in(RETRY_SECONDS)
                continue
            for entry, app, type_, lane, at, data, attempts, earlier in answer.get("due", ()):
                body = data.encode()
                webhook = Webhook(entry, app, type_, lane, int(at), body, attempts, alone=True, earlier=earlier)
                endpoint = partition.endpoint(app)
                endpoint.alone += 1
                self._offer(endpoint, webhook)
            if "wait" in answer:
                partition.aside_in(answer["wait"] / 1000)

    # Sending

    def _enqueue(self, endpoints: Iterable[_Endpoint]) -> None:
        """Starts what may be started now, for these endpoints and those that waited for a place."""
        for endpoint in endpoints:
            self._places.queue(endpoint)
        while (endpoint_ := self._places.next()) is not None:
            webhook = endpoint_.lanes.take()
            if webhook is not None:
                self._places.enter(endpoint_)
                self._attempts.spawn(self._attempt, endpoint_, webhook, endpoint_.slow)
                self._places.queue(endpoint_)

    def _attempt(self, endpoint: _Endpoint, webhook: Webhook, slow: bool) -> None:
        started = time.monotonic()
        outcome: _Outcome | None = None
        try:
            outcome = self._deliver(endpoint, webhook)
        except StoreUnavailable as error:
            # Nothing is known of the app: this was no attempt.
            log.warning("app not looked up", app=webhook.app, error=str(error))
            gevent.spawn_later(RETRY_SECONDS, self._wake, endpoint, webhook)
        except Exception:
            # Counts as a failed attempt, so that what cannot be sent steps aside instead of stopping its
            # lane.
            log.exception("webhook not sent", app=webhook.app, entry=webhook.entry)
            outcome = _Outcome(error="internal error")
        finally:
            took = time.monotonic() - started
            self._places.leave(endpoint, slow, took, answered=outcome is not None and outcome.status is not None)
            if outcome is not None:
                self._report(endpoint, webhook, outcome, took)
            endpoint.partition.check_quiet()
            self._enqueue((endpoint,))

    def _deliver(self, endpoint: _Endpoint, webhook: Webhook) -> _Outcome:
        app = self._registry.app(webhook.app)
        if app is None:
            return _Outcome(skipped="there is no such app")
        settings = self._settings(endpoint, app)
        if not settings.url:
            return _Outcome(skipped="the app has no webhook URL")
        if not webhook.alone and not settings.wants(webhook.type):
            return _Outcome(skipped="the app does not want this type")
        if settings.disabled:
            return _Outcome(withheld=f"the endpoint is disabled: {settings.disabled}")
        return self._post(endpoint, webhook, settings)

    def _post(self, endpoint: _Endpoint, webhook: Webhook, settings: Endpoint) -> _Outcome:
        now = self._clock()
        try:
            connections, secrets = endpoint.configure(settings.url, settings.secrets(now), self._network)
        except ValueError as error:
            return _Outcome(error=str(error), mark=settings.mark)
        message, body = webhook_id(endpoint.partition.tag, webhook.entry), webhook.body
        headers = {
            "webhook-id": message,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": sign(secrets, message, int(now), body),
        }
        try:
            answer = connections.post(headers, body, self._attempt_seconds)
        except AttemptFailed as error:
            return _Outcome(error=str(error), mark=settings.mark)
        asked = demand(answer.status, answer.retry_after, self._clock())
        return _Outcome(status=answer.status, answer=answer.body, asked=asked, mark=settings.mark)

    def _settings(self, endpoint: _Endpoint, app: App) -> Endpoint:
        """Kept until the store says that they have changed."""
        known, partition = endpoint.settings, endpoint.partition
        if known is not None and known.app is app:
            return known
        version = partition.settings_version
        fresh = Endpoint(app, self._store.endpoint_of(app.id))
        if version == partition.settings_version:  # else they may have changed while they were read
            endpoint.settings = fresh
        return fresh

    def _next_step(self, webhook: Webhook, outcome: _Outcome) -> Step:
        """What follows an attempt, or takes its place."""
        if outcome.skipped:
            return Step("skipped")
        if outcome.is_success:
            return Step("delivered")
        if outcome.withheld or outcome.asked.disable:
            return Step("failed")
        step = self._schedule.after_failure(webhook.attempts + 1 - webhook.earlier, self._chance())
        if step.name == "failed":
            return step
        delay = max(step.delay, outcome.asked.pause)
        return Step("aside" if webhook.alone else step.name, delay)

    def _report(self, endpoint: _Endpoint, webhook: Webhook, outcome: _Outcome, took: float) -> None:
        """What an attempt came to, for the store."""
        step = self._next_step(webhook, outcome)
        if outcome.asked.pause:
            self._pause(endpoint, outcome.asked.pause)
        attempt, latency = webhook.attempts + outcome.is_attempt, round(took * 1000)
        line: dict[str, Any] = {
            "app": webhook.app,
            "room" if "-room-" in webhook.lane else "session": webhook.lane,
            "webhook": webhook_id(endpoint.partition.tag, webhook.entry),
            "outcome": step.name,
        }
        row: dict[str, Any] = {
            "id": webhook.entry,
            "app": webhook.app,
            "type": webhook.type,
            "n": attempt,
            "step": step.name,
            "delay": round(step.delay * 1000),
            "log": line,
        }
        if outcome.is_attempt:
            line |= {"attempt": attempt, "latency_ms": latency}
            kept: dict[str, Any] = {"at": round(self._clock() * 1000), "latency_ms": latency}
            if outcome.status is not None:
                line["status"] = kept["status"] = outcome.status
                kept["answer"] = outcome.answer.decode("utf-8", "replace")
            if outcome.error:
                kept["error"] = outcome.error
            row["attempt"] = orjson.dumps(kept).decode()
            if outcome.mark:
                row["mark"] = outcome.mark
            if step.name != "delivered":
                row["fault"] = outcome.error or f"it answered {outcome.status}"
            if outcome.asked.disable:
                row["disable"] = outcome.asked.disable
            metrics.LATENCY.observe(took)
        if error := outcome.error or outcome.skipped or outcome.withheld:
            line["error"] = error
        if step.name == "delivered":
            metrics.LAG.observe(max(0.0, self._clock() - webhook.at / 1000))
        metrics.ATTEMPTS.labels(step.name).inc()
        endpoint.partition.report(endpoint, webhook, row)

    def _pause(self, endpoint: _Endpoint, seconds: float) -> None:
        """Nothing is sent there meanwhile, so that no lane overtakes the one that was told to wait."""
        endpoint.paused_until = max(endpoint.paused_until, time.monotonic() + seconds)
        gevent.spawn_later(seconds, self._enqueue, (endpoint,))

    # Results

    def _settle_loop(self, partition: _Partition) -> None:
        while True:
            partition.reported.wait()
            batch = [partition.results[i] for i in range(min(BATCH, len(partition.results)))]
            if not batch:
                partition.reported.clear()
                partition.check_quiet()
                continue
            rows = [row for _, _, row in batch]
            try:
                failing = {row["app"] for row in rows if row["step"] == "failed"}
                kept = {app: self._registry.quotas_of(app)["failed_bytes"] for app in failing}
                args = {"token": partition.token, "results": rows, "failed_bytes": kept}
                answer = self._store.run("delivery_settle", partition.tag, args)
            except StoreUnavailable as error:
                log.warning("results of webhooks not stored yet", partition=partition.tag, error=str(error))
                gevent.sleep(RETRY_SECONDS)
                continue
            if answer.get("fenced"):
                log.warning("webhook partition lost", partition=partition.tag)
                gevent.spawn(self._drop, partition)
                return
            partition.settings_are(answer["endpoints"])
            for endpoint, webhook, row in batch:
                partition.results.popleft()
                if endpoint is not None and webhook is not None:
                    self._settled(endpoint, webhook, row)

    def _settled(self, endpoint: _Endpoint, webhook: Webhook, row: dict[str, Any]) -> None:
        partition, lanes = endpoint.partition, endpoint.lanes
        partition.held.pop(webhook.entry, None)
        delay = row["delay"] / 1000
        if row["step"] == "held":
            webhook.attempts, webhook.wait = row["n"], delay
            self._head(endpoint, webhook)
            return
        if row["step"] == "aside":
            partition.aside_in(delay)
        if webhook.alone:
            endpoint.alone -= 1
            if not endpoint.alone:
                partition.aside_in(0)
        head = lanes.settle(webhook)
        if head is not None:
            self._head(endpoint, head)
        if lanes.unread is not None and not endpoint.refilling and lanes.size < self._window // 2:
            endpoint.refilling = True
            partition.loops.spawn(self._refill, endpoint)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What an attempt came to: a status with the start of the answer, or an error. Or why there was none: it is
    dropped (`skipped`), or kept for later (`withheld`). `mark`: of the endpoint that was tried.
    """

    status: int | None = None
    answer: bytes = b""
    error: str | None = None
    asked: Demand = NOTHING
    mark: str | None = None
    skipped: str | None = None
    withheld: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_attempt(self) -> bool:
        return not self.skipped and not self.withheld


@dataclass(slots=True, eq=False)
class _Endpoint:
    """An app's webhooks and the way to its endpoint."""

    app: str
    partition: _Partition
    lanes: Lanes = field(default_factory=Lanes)
    settings: Endpoint | None = None
    connections: Connections | None = None
    secrets: tuple[bytes, ...] = ()
    configured: tuple[Any, ...] = ()
    limit: int = FIRST_LIMIT
    slow: bool = False
    under_way: int = 0
    queued: bool = False
    alone: int = 0
    refilling: bool = False
    used_at: float = 0.0
    paused_until: float = 0.0

    @property
    def may_start(self) -> bool:
        """One more attempt."""
        return self.under_way < self.limit and self.paused_until <= time.monotonic()

    def configure(self, url: str, secrets: tuple[str, ...], network: Network) -> tuple[Connections, tuple[bytes, ...]]:
        """Raises ValueError for a URL or secret that will not do."""
        if self.connections is None or self.configured != (url, secrets):
            self.close()
            parsed = tuple(parse_secret(secret) for secret in secrets)
            self.connections = Connections(self.app, url, network)
            self.secrets, self.configured = parsed, (url, secrets)
        return self.connections, self.secrets

    def close(self) -> None:
        if self.connections is not None:
            self.connections.close()
            self.connections = None


class _Partition:
    """A partition while this process holds it. `cursor`: the last entry read."""

    def __init__(self, tag: str, token: int) -> None:
        self.tag = tag
        self.token = token
        self.outbox = keys.key(tag, "outbox")
        self.cursor = "0-0"
        self.settings_version = 0
        self.held: dict[str, tuple[int, float]] = {}
        self.endpoints: dict[str, _Endpoint] = {}
        self.results: deque[tuple[_Endpoint | None, Webhook | None, dict[str, Any]]] = deque()
        self.reported = Event()
        self.aside = Event()
        self.aside_at: float | None = time.monotonic()
        self.valid_until = 0.0
        self.yielding = False
        self.lost = False
        self.quiet = Event()
        self.quiet.set()
        self.loops = Group()

    @property
    def may_send(self) -> bool:
        return not self.lost and not self.yielding and time.monotonic() < self.valid_until

    def endpoint(self, app: str) -> _Endpoint:
        found = self.endpoints.get(app)
        if found is None:
            found = self.endpoints[app] = _Endpoint(app, self)
        return found

    def report(self, endpoint: _Endpoint | None, webhook: Webhook | None, row: dict[str, Any]) -> None:
        self.results.append((endpoint, webhook, row))
        self.reported.set()

    def settings_are(self, version: int) -> None:
        """The store's version of all its endpoints' settings."""
        if version != self.settings_version:
            self.settings_version = version
            for endpoint in self.endpoints.values():
                endpoint.settings = None

    def aside_in(self, seconds: float) -> None:
        at = time.monotonic() + seconds
        if self.aside_at is None or at < self.aside_at:
            self.aside_at = at
            self.aside.set()

    def check_quiet(self) -> None:
        """`quiet` is set while nothing is under way and every result is stored."""
        if not self.results and not any(endpoint.under_way for endpoint in self.endpoints.values()):
            self.quiet.set()


class _Places:
    """Who may start an attempt: each endpoint up to its limit, in turn. The slow ones come first for an
    eighth of the places, last for more, and never have more than half.

    An endpoint's limit grows with its answers and falls to one when it gives none, so that dead ones hold few
    places.
    """

    def __init__(self, total: int, per_endpoint: int) -> None:
        self._total = total
        self._per_endpoint = per_endpoint
        self._under_way = 0
        self._slow_under_way = 0
        self._queues: tuple[deque[_Endpoint], deque[_Endpoint]] = (deque(), deque())

    def queue(self, endpoint: _Endpoint) -> None:
        """It has something to send; `next` will tell when it may."""
        if not endpoint.queued and endpoint.lanes.is_ready and endpoint.may_start:
            endpoint.queued = True
            self._queues[endpoint.slow].append(endpoint)

    def next(self) -> _Endpoint | None:
        """The one whose turn it is; no longer queued."""
        for slow in (True, False) if self._slow_under_way < self._total // 8 else (False, True):
            queue = self._queues[slow]
            while queue and self._under_way < self._total:
                if slow and self._slow_under_way >= max(1, self._total // 2):
                    break
                endpoint = queue.popleft()
                endpoint.queued = False
                if endpoint.partition.may_send and endpoint.may_start:
                    return endpoint
        return None

    def enter(self, endpoint: _Endpoint) -> None:
        endpoint.partition.quiet.clear()
        endpoint.under_way += 1
        self._under_way += 1
        self._slow_under_way += endpoint.slow

    def leave(self, endpoint: _Endpoint, slow: bool, took: float, answered: bool) -> None:
        """`slow`: as which it entered."""
        endpoint.under_way -= 1
        self._under_way -= 1
        self._slow_under_way -= slow
        endpoint.used_at = time.monotonic()
        endpoint.slow = took > SLOW_SECONDS
        if answered:
            endpoint.limit = min(self._per_endpoint, endpoint.limit * 2)
        elif endpoint.slow:
            endpoint.limit = 1


def _webhook(entry: str, fields: Fields) -> Webhook | None:
    """An entry of the outbox; None when it is not one."""
    try:
        app, type_, lane = (fields[name].decode() for name in (b"app", b"type", b"lane"))
        return Webhook(entry, app, type_, lane, int(fields[b"at"]), fields[b"data"])
    except (KeyError, ValueError):
        return None
