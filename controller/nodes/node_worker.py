"""One node in the hands of a worker: commands out, events in, and what is done when the link comes up or goes down.

How it works: `esl.link.Link` keeps one connection to the node and calls back from one greenlet, so a node's events
are handled in the order in which they happened.

* Link up: the store is made what the node is (`Audit.resync`), the node is published as reachable, and the commands
  that have waited are sent. The link holds new events until this has ended. So none is missed, and one that the
  comparison has found already changes nothing.
* Commands: the worker reads their streams and hands over entries. `take` first marks commands as sent in the store,
  then sends them, so none is ever sent twice. If one did not get to the node, or its result was lost with the
  connection, it fails when the next link is up. A play waits in its stream until its file is ready (`plays`). What the
  API in this process accepts spares itself the stream, if its `turn` has come: the step that accepts it marks it as
  sent.
* Events: they are translated, and applied by the store's scripts, as many at once as have come. While the store is
  away they are held here, and the link holds those behind them. After MAX_HOLD_SECONDS the link is dropped instead:
  the node will be compared once the store is back.
* Link down: the node is published as not reachable, and its commands wait in the store.

Every write goes through the lease, so a worker that has lost the node changes nothing any more. Commands without a
result, and those that no event confirms, are found by `sweep`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypedDict

import gevent
import orjson
import structlog
from gevent.lock import BoundedSemaphore

from controller import metrics
from controller.errors import Fenced, ScriptFailed, StoreUnavailable
from controller.ids import SessionIds, job_id
from controller.media.client import Prepared, Preparer
from controller.media.reasons import AudioFailed
from controller.nodes.audit import Audit, Intervals
from controller.nodes.events import CallIntruded, JobDone, SessionEnded, SessionFileDone, StateEvent, Talked
from controller.nodes.handler import EventHandler
from controller.nodes.history import NodeHistory
from controller.nodes.lease import NodeLease
from controller.nodes.plays import Plays
from controller.nodes.render import render
from controller.nodes.speakers import Speakers
from controller.nodes.translate import SUBSCRIPTION, translate
from controller.registry import Node, Registry
from controller.store import keys
from controller.store.store import Entry, Fields, Reply, Step, Store
from esl import commands as esl
from esl.connection import Connection
from esl.errors import EslError
from esl.event import Event
from esl.link import Link

# For how long events are held while the store is away.
MAX_HOLD_SECONDS = 30.0
# Spent on what is overdue before the leases of other nodes come first. The rest waits for the next tick.
MAX_SWEEP_SECONDS = 0.5
# Samples a second of rooms whose profile does not say (mod_conference.c).
DEFAULT_RATE = 8000
# Of rooms that take the rate of their first member: FreeSWITCH makes what it needs of this one.
AUTOMATIC_RATE = 48000
# Commands that are taken at once.
MAX_TAKEN = 50


class Places(Protocol):
    def upload_url(self, app_id: str, recording_id: str, /) -> str | None:
        """Where a node can put the file of a recording now; None if there is no relay."""


class NoPlaces:
    """Where there is no relay."""

    def upload_url(self, _app_id: str, _recording_id: str) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class RecordingLimits:
    """`max_seconds`: how long a recording may be. `give_up_seconds`: for how long its file waits on its node."""

    max_seconds: int = 4 * 3600
    give_up_seconds: int = 72 * 3600

    def in_ms(self) -> dict[str, int]:
        return {"max_ms": self.max_seconds * 1000, "give_up_ms": self.give_up_seconds * 1000}


class NodeUp(TypedDict):
    """Of a node that is up: whether it takes new rooms (`open`), and is `reached` now; if not, it may just be changing
    hands.
    """

    open: bool
    reached: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """The turn to send commands to a node. `token`: that of its lease."""

    node: str
    token: int
    send: Callable[[list[dict[str, Any]]], None]


class NodeWorker:
    """Drives one node, from `start` to `stop`. `ids` are those of the node, `connect` makes its link. `relays` prepare
    what is played, `places` are where recordings are put.
    """

    def __init__(
        self,
        node: Node,
        lease: NodeLease,
        store: Store,
        registry: Registry,
        ids: SessionIds,
        *,
        intervals: Intervals,
        relays: Preparer,
        places: Places | None = None,
        limits: RecordingLimits = RecordingLimits(),
        connect: Callable[..., Link] = Link,
    ) -> None:
        self.node = node
        self._places = places or NoPlaces()
        self._limits = limits
        self._lease = lease
        self._store = store
        self._registry = registry
        self._ids = ids
        self._log = structlog.get_logger(__name__).bind(node=node.prefix)
        # Set while the link is up and the store is what the node is.
        self._connection: Connection | None = None
        self._core_uuid = ""
        self._rate = DEFAULT_RATE
        self._recordings_dir = ""
        self._load = self._calls = 0
        self._events_total = metrics.node_events.labels(node.prefix)
        self._links_lost_total = metrics.links_lost.labels(node.prefix)
        self._stopping = self._handover = False
        # Held from the step that counts commands as sent until they are.
        self._sending = BoundedSemaphore(1)
        self._handler = EventHandler(node.prefix, lease, store, registry, self._send_own)
        self._history = NodeHistory(store, node.prefix)
        self._speakers = Speakers(store, node.prefix, ids, lambda event: self._handler.apply([event]))
        # Those of which it is told who speaks in them.
        self._speaker_rooms: set[str] = set()
        self.audit = Audit(node.prefix, lease, ids, self._handler, intervals, self._history)
        self._plays = Plays(relays, rate=lambda: self._rate, take=self._take_play)
        self._link = connect(
            name=node.prefix,
            host=node.host,
            port=node.port,
            password=node.password,
            subscription=SUBSCRIPTION,
            on_up=self._on_up,
            on_events=self._on_events,
            on_down=self._on_down,
        )

    def start(self) -> None:
        """Raises StoreUnavailable. From here on the store refuses what an earlier holder of the node writes."""
        self._lease.raise_fence()
        metrics.link_up.labels(self.node.prefix).set(0)
        self._link.start()
        self.audit.start()

    def stop(self, *, handover: bool = False) -> None:
        """End the link and give the lease back.

        With `handover` the node goes on to count as reachable: another worker is about to take it.
        """
        self._stopping, self._handover = True, handover
        self._plays.stop()
        self._link.stop()
        self.audit.stop()
        metrics.forget_node(self.node.prefix)
        # If that fails the lease lapses by itself.
        with suppress(StoreUnavailable, ScriptFailed):
            self._lease.release(handover=handover)

    def watch(self, rooms: Collection[str]) -> None:
        """In which rooms on the node somebody watches who speaks; every second or so."""
        self._speakers.watch(rooms, self._speaker_rooms, self._connection)

    def renewal(self) -> Step:
        """The step that renews the lease; every second or so."""
        up = self._connection is not None
        return self._lease.renewal(up=up, load=self._load, calls=self._calls, core_uuid=self._core_uuid)

    def renewed(self, asked_at: float, reply: Reply) -> None:
        """As `NodeLease.renewed`."""
        self._lease.renewed(asked_at, reply)

    def renew(self) -> None:
        """Renew the lease at once. Raises Fenced, StoreUnavailable."""
        asked_at = time.monotonic()
        self.renewed(asked_at, self._store.run(*self.renewal()))

    def sweep(self, up: Mapping[str, NodeUp]) -> None:
        """Handle what should have had a result or a confirming event by now, and count sessions and rooms; every second
        or so. `up`: the nodes that are up, by prefix. Raises Fenced, StoreUnavailable.
        """
        replies = self._lease.run_everywhere(
            "overdue", seconds=MAX_SWEEP_SECONDS, up=orjson.dumps(up).decode(), recordings=self._limits.in_ms()
        )
        counts = replies[: len(keys.TAGS)]  # one of each partition; others were asked again
        self._load = sum(reply.get("load", 0) for reply in counts)
        self._calls = sum(reply.get("calls", 0) for reply in counts)
        self._speaker_rooms = {room for reply in counts for room in reply.get("speaker_rooms", ())}
        metrics.sessions.labels(self.node.prefix).set(self._calls)
        metrics.rooms.labels(self.node.prefix).set(self._load - self._calls)
        if any(reply.get("late") for reply in replies):
            self.audit.node_is_late()

    # Commands out

    def take(self, tag: str, entries: Sequence[Entry]) -> None:
        """Take these entries of the node's command stream in a partition, and send the commands in their order; plays
        once they are prepared.

        Without a link they stay where they are. Raises Fenced, StoreUnavailable.
        """
        if self._connection is None:
            return
        ready: list[str] = []
        for entry, fields in entries:
            if asked := _read_file(fields):
                self._plays.prepare(tag, entry, asked)
            else:
                ready.append(entry)
        if ready:
            self._take(tag, ready, {})

    def _take(self, tag: str, entries: Sequence[str], files: dict[str, Any]) -> bool:
        """Returns whether any was there. `files`: what take.lua needs to know of plays."""
        connection = self._connection
        if connection is None:
            return False
        # Checked first: a command that is taken and not sent only fails.
        self._lease.check()
        with self._sending:
            (reply,) = self._lease.run_each([("take", tag, {"entries": list(entries), "files": files})])
            commands: list[dict[str, Any]] = reply.get("commands", [])
            self._send_all(connection, commands)
        return bool(commands)

    @property
    def is_up(self) -> bool:
        """Whether it has the node's link and its lease, so that no other process knows better."""
        return self._connection is not None and not self._stopping and self._lease.is_valid

    @contextmanager
    def turn(self) -> Iterator[Turn | None]:
        """The turn to send commands, for a step of the API in this process: None if it is not free now, or there is no
        link. Only in turn do commands get to the node in the order of the steps that count them as sent.
        """
        connection = self._connection
        if connection is None or not self.is_up or not self._sending.acquire(blocking=False):
            yield None
            return
        try:
            yield Turn(self.node.prefix, self._lease.token, partial(self._send_in_turn, connection))
        finally:
            self._sending.release()

    def _send_in_turn(self, connection: Connection, commands: list[dict[str, Any]]) -> None:
        # What was accepted is stored. Whoever holds the node next finds it.
        with suppress(Fenced):
            self._send_all(connection, commands)

    def _send_all(self, connection: Connection, commands: Sequence[dict[str, Any]]) -> None:
        """Send what counts as sent. Raises Fenced."""
        for command in commands:
            if about := command.get("room") or command.get("session"):
                self._handler.remember(about, command["app"])
            try:
                self._send(connection, command)
            except Fenced:
                # The lease has lapsed since. The holder of the next link handles what was taken.
                connection.close()
                raise
            except (EslError, StoreUnavailable) as error:
                # It is not known whether the node got it. It fails when the next link is up, or has no result in time.
                self._log.warning("command not sent", job=command["job"], reason=str(error))

    def _take_play(self, tag: str, entry: str, outcome: Prepared | AudioFailed) -> bool:
        if isinstance(outcome, Prepared):
            file = {
                "url": outcome.url,
                "details": outcome.details,
                "rest": outcome.rest,
                "rest_url": outcome.rest_url,
            }
            return self._take(tag, [entry], {entry: file})
        failed = {"job": job_id(tag, entry), "ok": False, "reason": outcome.reason, "http_status": outcome.http_status}
        taken, _ = self._lease.run_each([("take", tag, {"entries": [entry]}), ("job_done", tag, failed)])
        return bool(taken.get("commands"))

    def _send(self, connection: Connection, command: dict[str, Any]) -> None:
        self._lease.check()
        if command["op"] == "dial_leg" and (source := self._registry.node(command["source"])):
            command["target"] = source.bridge_address
        if command["op"] in ("dial", "transfer") and (gateway := self._registry.gateway(command["gateway"])):
            command |= gateway.way_to(command["to"])
        rest = [command["rest_url"]] if command.get("rest_url") else []
        if command["op"] in ("session_play", "beep"):
            rest = command.get("url", "").split()[1:]
        if recording := command.get("recording"):
            command |= {"path": self._path_of(recording), "max_seconds": self._limits.max_seconds}
        if command["op"] == "store":
            upload = self._places.upload_url(command["app"], command["recording"])
            if upload is None:
                return self._handler.apply([JobDone(job=command["job"], ok=False, reason="relay_failed")])
            command["upload"] = upload
        try:
            told = render(command, self.node)
            if isinstance(told, esl.PlayToChannel):
                # Not by bgapi: it has to be so before the file plays.
                connection.api(esl.IgnoreKeys(told.channel))
            connection.bgapi(told, job_uuid=command["job"])
            for url in rest:
                # While the first part plays. The node would fetch it in the thread that mixes the room.
                connection.bgapi(esl.Prefetch(url))
        except ValueError as error:
            self._handler.apply([JobDone(job=command["job"], ok=False, reason="refused", text=str(error))])

    def _path_of(self, recording: str) -> str:
        return f"{self._recordings_dir}/{recording}.wav"

    def _send_own(self, command: esl.Command) -> None:
        """Send a command of the worker itself, even while the link comes up. Its result is ignored."""
        connection = self._link.connection
        try:
            if connection:
                connection.bgapi(command)
        except (EslError, ValueError) as error:
            self._log.warning("command not sent", reason=str(error))

    def _take_waiting(self) -> None:
        """Take what came while the link was away."""
        for tag in keys.TAGS:
            entries = self._store.read(keys.key(tag, "commands", self.node.prefix))
            for first in range(0, len(entries), MAX_TAKEN):
                self.take(tag, entries[first : first + MAX_TAKEN])

    # Events in

    def _on_events(self, events: list[Event]) -> None:
        self._events_total.inc(len(events))
        found = [event for each in events if (event := translate(self._ids, each))]
        self.audit.heard(found)
        # Intruders first: the rest may have to wait for the store.
        for call in found:
            if isinstance(call, CallIntruded):
                self._handler.hang_up(call)
        changes = [self._judge(event) for event in found if not isinstance(event, CallIntruded | Talked)]
        give_up_at = time.monotonic() + MAX_HOLD_SECONDS
        while True:
            try:
                self._handler.apply(changes)
                break
            except StoreUnavailable as error:
                if time.monotonic() > give_up_at:
                    raise
                self._log.warning("events held", count=len(changes), reason=str(error))
                gevent.sleep(0.5)
        self._speakers.heard(found)

    def _judge(self, event: StateEvent) -> StateEvent:
        if isinstance(event, SessionFileDone):
            return self._plays.judge_file(event)
        if isinstance(event, SessionEnded):
            self._plays.forget(event.session_id)
        return self._plays.judge(event) if isinstance(event, JobDone) else event

    # Up and down

    def _on_up(self, connection: Connection) -> None:
        self._core_uuid = connection.api(esl.CoreUuid()).strip()
        self._rate = read_rate(connection.api(esl.LocateConfiguration("conference.conf")), self.node.profile)
        self._recordings_dir = connection.api(esl.GlobalVariable("recordings_dir")).strip()
        restarted = self._store.core_uuid(self.node.prefix) not in (None, self._core_uuid)
        self._handler.forget_intruders()
        changes = self.audit.resync(connection, restarted=restarted)
        self._connection = connection
        self.renew()
        self._take_waiting()
        metrics.link_up.labels(self.node.prefix).set(1)
        self._history.is_up(restarted=restarted)
        self._log.info("node up", changes=changes, restarted=restarted)

    def _on_down(self, reason: str) -> None:
        self._connection = None
        metrics.link_up.labels(self.node.prefix).set(0)
        if not self._stopping:
            self._links_lost_total.inc()
        self.audit.link_lost()
        self._plays.link_lost()
        self._log.warning("node down", reason=reason)
        if not self._handover:
            try:
                self.renew()
            except (StoreUnavailable, Fenced) as error:
                self._log.warning("node down not published", reason=str(error))
        self._history.is_down(reason)


def read_rate(configuration: str, profile: str) -> int:
    """Samples a second of the rooms of a profile, from the node's conference.conf as XML."""
    of_profile = re.search(rf'<profile name="{re.escape(profile)}".*?</profile>', configuration, re.DOTALL)
    rate = re.search(r'<param name="rate" value="(\w+)"', of_profile[0]) if of_profile else None
    if rate is None:
        return DEFAULT_RATE
    return int(rate[1]) if rate[1].isdecimal() else AUTOMATIC_RATE


def _read_file(fields: Fields) -> dict[str, Any] | None:
    """A command that waits, if it has a file: a play, or a hold with music."""
    try:
        command = orjson.loads(fields[b"c"])
        has_file = isinstance(command["url"], str) and isinstance(command["app"], str)
        return command if has_file else None
    except (KeyError, TypeError, ValueError):
        return None  # Whoever takes it logs that it cannot be read.
