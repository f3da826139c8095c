"""A node's connection kept alive: connect, subscribe, deliver, notice the end, try again.

One greenlet does it all, one step after another, which is what gives the order that users rely on: `on_up`, then
`on_events` any number of times, then `on_down`, and only then the next attempt. A second greenlet pings.
"""

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import gevent
from gevent.event import Event as Flag

from esl.connection import Connection
from esl.errors import AuthenticationError, CommandRefused, ConnectionLost, EslError
from esl.event import Event

log = logging.getLogger(__name__)

State = Literal["down", "connecting", "syncing", "up"]

SUBSCRIPTION: Sequence[str] = (
    # Filters are OR-ed, and stand before the events do: not one comes that was not asked for.
    "filter Event-Name CHANNEL_PARK",
    "filter Event-Name CHANNEL_HANGUP_COMPLETE",
    "filter Event-Name BACKGROUND_JOB",
    "filter Action add-member",
    "filter Action del-member",
    "filter Action mute-member",
    "filter Action unmute-member",
    "filter Action play-file-done",
    # Of calls that asked for another call instead of a number, from their CHANNEL_CREATE on; others pass none of these.
    "filter variable_sip_replaces_call_id /./",
    "filter Caller-Destination-Number /^answer,/",
    "filter Event-Name CHANNEL_BRIDGE",
    "event plain CHANNEL_CREATE CHANNEL_PARK CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB"
    " CUSTOM conference::maintenance",
)
"""Event Socket commands, sent in this order on every new connection: what a conference controller must see."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between attempts: doubling from `initial` to `maximum`, each cut by up to a half at random."""

    initial: float
    maximum: float

    def delay(self, attempt: int, chance: float) -> float:
        """For the attempt after `attempt` failed ones in a row, from 0; `chance` is from 0 up to 1."""
        # The exponent is capped: a float overflows after a thousand attempts.
        return min(self.maximum, self.initial * 2.0 ** min(attempt, _FAR)) * (1 - chance / 2)


class Link:
    """The link to one node. All callbacks run in its greenlet, never two at once, and may wait.

    `on_up(connection)`: authenticated and subscribed. Events that come meanwhile are held; commands work. This is
    the place to read the node's state. `on_events(events)`: the held ones and all later ones, in order, as many as
    are queued up to `batch`. `on_down(reason)`: exactly once after each `on_up`, also when that failed; no event of
    that connection follows.

    If `on_up` or `on_events` raises, what was made of the events is unknown: the link goes down and comes up anew.
    The same if more than `max_queued` events wait, or the result of a ping does not come within `ping_timeout`
    seconds; one is sent `ping_interval` seconds after the last one's result, as a job, so that what is tried is the
    way of the events (`on_events` gets these results, too). A link that was up for at least the maximum delay starts
    its delays over.
    """

    def __init__(
        self,
        *,
        name: str,
        host: str,
        port: int,
        password: str,
        on_up: Callable[[Connection], None],
        on_events: Callable[[list[Event]], None],
        on_down: Callable[[str], None],
        subscription: Sequence[str] = SUBSCRIPTION,
        connect_timeout: float = 5.0,
        reply_timeout: float = 5.0,
        ping_interval: float = 1.0,
        ping_timeout: float = 5.0,
        backoff: Backoff = Backoff(0.2, 10.0),  # immutable
        max_queued: int = 20_000,
        batch: int = 200,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.last_error = ""
        """Why the link is down, or was the last time. Empty before the first failure."""
        self._connect = partial(
            Connection, host, port, password, connect_timeout=connect_timeout, reply_timeout=reply_timeout
        )
        self._subscription = tuple(subscription)
        self._on_up, self._on_events, self._on_down = on_up, on_events, on_down
        self._ping_interval, self._ping_timeout = ping_interval, ping_timeout
        self._backoff, self._chance = backoff, chance
        self._max_queued, self._batch = max_queued, batch
        self._state: State = "down"
        self._connection: Connection | None = None
        self._failures = 0
        self._reported = ""
        self._up = Flag()
        self._stopping = Flag()
        self._greenlet: gevent.Greenlet[..., None] | None = None

    # -- what it is now

    @property
    def connection(self) -> Connection | None:
        """The connection while it is usable: from before `on_up` until it ends."""
        connection = self._connection
        return connection if connection is not None and connection.connected else None

    @property
    def state(self) -> State:
        """`connecting` up to the subscription, `syncing` while `on_up` runs, `up`, `down` between attempts."""
        if self._state in ("syncing", "up") and self.connection is None:
            return "down"  # lost, while a callback still runs
        return self._state

    @property
    def is_up(self) -> bool:
        """Whether `on_up` is through and the connection lives."""
        return self.state == "up"

    def wait_up(self, timeout: float | None = None) -> bool:
        """Wait until `is_up`, for `timeout` seconds at most. Tells whether it came."""
        return bool(self._up.wait(timeout)) and self.is_up

    # -- from start to stop

    def start(self) -> None:
        """Begin, in a greenlet of its own. Without effect when begun."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def stop(self, timeout: float = 5.0) -> None:
        """End for good. A running callback has `timeout` seconds to return, then it is killed."""
        self._stopping.set()
        greenlet = self._greenlet
        if greenlet is None:
            return
        if self._connection is not None:
            self._connection.close()
        if greenlet is gevent.getcurrent():
            return  # from a callback: the link ends when that returns
        if self._state != "connecting":
            greenlet.join(timeout)
        greenlet.kill(timeout=1.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                delay = self._live_once()
            except Exception:
                log.exception("node %s: the link itself failed", self.name)
                delay = self._backoff.maximum
            self._stopping.wait(delay)

    def _live_once(self) -> float:
        """One connection, from the attempt to its end. Returns the seconds to wait before the next."""
        session = _Session(self._connect, self._max_queued)
        connection = session.connection
        self._state = "connecting"
        try:
            try:
                connection.connect()
                self._subscribe(connection)
                if session.reason:
                    raise ConnectionLost(session.reason)
            except EslError as error:
                return self._failed(error)
            since = time.monotonic()
            self._serve(session)
        finally:
            connection.close()
            self._state = "down"
        if time.monotonic() - since >= self._backoff.maximum:
            self._failures = 0
        return self._next_delay()

    def _subscribe(self, connection: Connection) -> None:
        for line in self._subscription:
            reply = connection.send(line)
            if not reply.text.startswith("+OK"):
                raise CommandRefused(f"{line!r} was answered {reply.text!r}")

    def _serve(self, session: "_Session") -> None:
        """From up to down."""
        connection = session.connection
        pinger = gevent.spawn(self._ping, connection)
        self._connection = connection
        self._state = "syncing"
        try:
            self._on_up(connection)
            if connection.connected:
                self._state = "up"
                self._up.set()
                self._reported = ""
                log.info("node %s: up", self.name)
            session.deliver(self._on_events, self._batch)
        except Exception as error:
            if not isinstance(error, ConnectionLost):
                log.exception("node %s: a handler failed, so the link starts over", self.name)
            session.end(f"a handler raised {type(error).__name__}")
        finally:
            session.end("stopped")  # unless there is a reason already
            pinger.kill(block=False)
            self._state = "down"
            self._up.clear()
            self._connection = None
            self.last_error = session.reason
            log.log(
                logging.INFO if self._stopping.is_set() else logging.WARNING,
                "node %s: down: %s",
                self.name,
                session.reason,
            )
            try:
                self._on_down(session.reason)
            except Exception:
                log.exception("node %s: on_down failed", self.name)

    def _ping(self, connection: Connection) -> None:
        while connection.connected:
            gevent.sleep(self._ping_interval)
            try:
                connection.ping(self._ping_timeout)
            except EslError as error:
                log.debug("node %s: ping: %s", self.name, error)

    def _failed(self, error: EslError) -> float:
        self.last_error = str(error)
        level = logging.DEBUG if self.last_error == self._reported else logging.WARNING
        self._reported = self.last_error
        log.log(level, "node %s: no link: %s", self.name, error)
        # A password does not get right by being tried often.
        return self._next_delay(at_once=not isinstance(error, AuthenticationError))

    def _next_delay(self, at_once: bool = True) -> float:
        attempt = self._failures if at_once else _FAR
        self._failures += 1
        return self._backoff.delay(attempt, self._chance())


class _Session:
    """One connection and its events that are not delivered yet. So none can outlive it."""

    def __init__(self, connect: Callable[..., Connection], max_queued: int) -> None:
        self.connection = connect(on_event=self._put, on_close=self._closed)
        self.reason = ""
        self._events: deque[Event] = deque()
        self._max_queued = max_queued
        self._wake = Flag()

    def deliver(self, on_events: Callable[[list[Event]], None], batch: int) -> None:
        """Until the connection has ended and all that came before is delivered."""
        events = self._events
        while True:
            while events:
                on_events([events.popleft() for _ in range(min(batch, len(events)))])
                gevent.sleep(0)
            if not self.connection.connected:
                return
            self._wake.clear()
            self._wake.wait()

    def end(self, reason: str) -> None:
        """End it from this side, for a reason that makes what is queued worthless. The first reason counts."""
        if not self.reason:
            self.reason = reason
            self._events.clear()
        self.connection.close()

    def _put(self, event: Event) -> None:
        if len(self._events) >= self._max_queued:
            self.end(f"{self._max_queued} events wait already: they come faster than they are handled")
            return
        self._events.append(event)
        if not self._wake.is_set():
            self._wake.set()

    def _closed(self, error: EslError | None) -> None:
        if error is None:
            self.end("stopped")
        elif not self.reason:
            self.reason = str(error)
        self._wake.set()


_FAR = 32
"""An attempt so late that its delay is the maximum."""
