"""A node's connection kept alive: connect, subscribe, deliver events, notice the end, try again.

How it works: one greenlet takes these steps in turn, and makes every callback itself.

    connecting   connect, authenticate, subscribe
    syncing      `on_up`, which reads the node's state; events that come meanwhile are queued
    up           `on_events`, with what is queued, until the connection ends
    down         `on_down`, then a delay that doubles with every failed attempt

So the order is always `on_up`, then `on_events` any number of times, then `on_down`, and only then the next attempt. As
the subscription comes before `on_up`, nothing that happens on the node falls between the state that was read and the
events that follow.

Two more greenlets live as long as a connection. One reads the socket (see `esl.connection`) and queues events. The
other pings, by a background job: its result is an event, so a node that still replies to commands but sends no events
counts as lost. The queue belongs to a `_Session`, of which every connection has its own, so no event outlives its
connection.
"""

import logging
import random
import time
from collections import deque
from collections.abc import Callable
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


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which events a link gets: those named in `events`, and those CUSTOM ones whose subclass is in `subclasses`.

    With `filters`, pairs of a header's name and a value or `/regular expression/`, only events that match at least
    one of them. A link's pings are jobs, so BACKGROUND_JOB must be among the events and pass the filters.
    """

    events: tuple[str, ...]
    subclasses: tuple[str, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()

    def commands(self) -> list[str]:
        """Event Socket commands, in the order to send them: filters first, so no event comes that they would stop."""
        custom = ("CUSTOM", *self.subclasses) if self.subclasses else ()
        filters = [f"filter {header} {value}" for header, value in self.filters]
        return [*filters, " ".join(("event plain", *self.events, *custom))]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between attempts: they double from `initial` to `maximum`, and each is cut by up to a half at random."""

    initial: float
    maximum: float

    def delay(self, attempt: int, chance: float) -> float:
        """The delay after `attempt` failed attempts in a row, from 0 on; `chance` is at least 0 and below 1."""
        # The exponent is capped: a float overflows after a thousand attempts.
        return min(self.maximum, self.initial * 2.0 ** min(attempt, _MAX_DOUBLINGS)) * (1 - chance / 2)


class Link:
    """The link to one node. All callbacks run in its greenlet, never two at once, and may wait.

    `on_up(connection)` is called once the link is authenticated and subscribed. Commands work from here on, and events
    are queued until it returns: this is the place to read the node's state. `on_events(events)` gets all events in
    their order, as many as are queued, up to `batch`. `on_down(reason)` is called exactly once after each `on_up`, even
    if that raised, and no event of that connection follows.

    The link goes down and comes up again if `on_up` or `on_events` raises, since nobody knows then what became of the
    events; if more than `max_queued` events wait; and if the result of a ping does not come within `ping_timeout`
    seconds. The next ping follows `ping_interval` seconds after a result, and `on_events` gets these results, too. A
    link that was up for at least the maximum delay starts its delays over.
    """

    def __init__(
        self,
        *,
        name: str,
        host: str,
        port: int,
        password: str,
        subscription: Subscription,
        on_up: Callable[[Connection], None],
        on_events: Callable[[list[Event]], None],
        on_down: Callable[[str], None],
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
        self._subscription = subscription
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

    # -- state

    @property
    def connection(self) -> Connection | None:
        """The connection, from before `on_up` until it ends; else None."""
        connection = self._connection
        return connection if connection is not None and connection.connected else None

    @property
    def state(self) -> State:
        """`connecting` up to the subscription, `syncing` while `on_up` runs, then `up`; `down` between attempts."""
        if self._state in ("syncing", "up") and self.connection is None:
            return "down"  # lost, while a callback still runs
        return self._state

    @property
    def is_up(self) -> bool:
        """Whether `on_up` has returned and the connection lives."""
        return self.state == "up"

    def wait_up(self, timeout: float | None = None) -> bool:
        """Wait until `is_up`, for at most `timeout` seconds. Returns `is_up`."""
        return bool(self._up.wait(timeout)) and self.is_up

    # -- start and stop

    def start(self) -> None:
        """Start the link's greenlet. Does nothing if it is started already."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def stop(self, timeout: float = 5.0) -> None:
        """End for good. A callback that runs has `timeout` seconds to return, then it is killed."""
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
        for command in self._subscription.commands():
            reply = connection.send(command)
            if not reply.text.startswith("+OK"):
                raise CommandRefused(f"{command!r} was refused: {reply.text!r}")

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
        # A wrong password does not become right by being tried often.
        return self._next_delay(soon=not isinstance(error, AuthenticationError))

    def _next_delay(self, soon: bool = True) -> float:
        attempt = self._failures if soon else _MAX_DOUBLINGS
        self._failures += 1
        return self._backoff.delay(attempt, self._chance())


class _Session:
    """One connection, and those of its events that are not delivered yet."""

    def __init__(self, connect: Callable[..., Connection], max_queued: int) -> None:
        self.connection = connect(on_event=self._put, on_close=self._closed)
        self.reason = ""
        self._events: deque[Event] = deque()
        self._max_queued = max_queued
        self._wake = Flag()

    def deliver(self, on_events: Callable[[list[Event]], None], batch: int) -> None:
        """Deliver events until the connection has ended and all that came before is delivered."""
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
        """End the connection from this side, and drop what is queued. The first reason given counts."""
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


_MAX_DOUBLINGS = 32
"""More never make a difference: the delay is the maximum long before."""
