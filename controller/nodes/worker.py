"""A node's commands out, its events in, its state compared after every reconnect.

A `Worker` process holds nodes by leases; each held node has a `NodeWorker` with the one connection to it.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import gevent
import structlog
from gevent.event import Event as Flag

from controller.errors import StoreUnavailable
from controller.ids import SessionIds
from controller.metrics import drift, intruders
from controller.nodes.compare import (
    Plan,
    Stalled,
    compare,
    read_channels,
    read_conferences,
    read_playing,
    read_stalled,
)
from controller.nodes.events import (
    SCRIPTS,
    CallIntruded,
    FileDone,
    JobAnswered,
    MemberJoined,
    Occurrence,
    Reported,
    SessionEnded,
    SessionParked,
)
from controller.nodes.translate import SUBSCRIPTION, UNASKED, translate
from controller.registry import Node, Registry
from controller.sessions.flags import FLAGS
from controller.store import keys
from controller.store.store import BEGINNING, Kind, Step, Store, tell_endings
from esl import commands as esl
from esl.connection import Connection
from esl.errors import EslError
from esl.event import Event
from esl.link import Link

log = structlog.get_logger(__name__)

# A dead worker's nodes are taken over after its lease and at most two ticks. Meanwhile commands are accepted, and wait.
LEASE_SECONDS = 3.0
LIVE_SECONDS = 6.0
TICK_SECONDS = 1.0
# Between audits; after a reconnect, or when the node is late with something; and to look twice at what differs.
AUDIT_SECONDS = 30.0
AUDIT_SOON_SECONDS = 1.0
AUDIT_AGAIN_SECONDS = 2.0
# A comparison is repeated until it finds nothing: the node goes on while it is being looked at.
RESYNC_ROUNDS = 3
# How long events are held while the store is away; after that the link is dropped and compared anew.
HOLD_SECONDS = 30.0
# Commands are read in pages; a read waits that long for the first.
READ_COUNT = 50
WAIT_SECONDS = 0.5
REMEMBERED = 200_000


class Fenced(Exception):
    """Another worker holds the node, or may."""


# Why a call that would be a session is hung up: nobody could do anything with it.
REJECTED = {"store_full": "the store is full", "quota_exceeded": "a quota of its app is used up"}

# A command of the store's stream as FreeSWITCH's command. Fields: see the `send` calls in the Lua files, and take.lua.
RENDER: dict[str, Callable[[Node, dict[str, Any]], esl.Command]] = {
    "join": lambda node, c: esl.Join(c["channel"], c["room"], node.profile),
    "kick": lambda _, c: esl.Kick(c["room"], c["member_id"]),
    "kick_all": lambda _, c: esl.Kick(c["room"], "all"),
    "pause": lambda _, c: esl.PausePlay(c["room"]),
    "stop": lambda _, c: esl.StopPlay(c["room"]),
    "volume": lambda _, c: esl.FileVolume(c["room"], c["volume"]),
    "stop_recording": lambda _, c: esl.StopRecording(c["room"]),
    "play": lambda _, c: esl.Play(
        c["room"],
        c["url"],
        {"operation_id": c["operation"], "url_index": c["index"], "vol": c["volume"]},
    ),
    **{
        change.command: lambda _, c: esl.MemberCommand(c["room"], c["member_id"], c["op"])
        for flag in FLAGS
        for change in (flag.on, flag.off)
    },
}


class NodeWorker:
    """One node, from lease to release. `token` fences every write: a later holder's is higher."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        node: Node,
        owner: str,
        token: int,
        *,
        session_key: bytes,
        audit_seconds: float,
    ) -> None:
        self.node = node
        self._ids = SessionIds(node.prefix, session_key)
        self._owner = owner
        self._core_uuid = ""
        self._load = 0
        # Until when commands may be sent, on the monotonic clock; the lease's renewal moves it.
        self._lease_until = time.monotonic() + LEASE_SECONDS
        self._store = store
        self._registry = registry
        self._context: dict[str, Any] = {"node": node.prefix, "token": token}
        self._connection: Connection | None = None
        self._stopping = Flag()
        self._handover = False
        # Set when the audit should not wait for its time.
        self._look = Flag()
        self._auditor: gevent.Greenlet[..., Any] | None = None
        self._audit_seconds = audit_seconds
        # Until when a play that counts as failed may still be heard, on the monotonic clock.
        self._watch_until = 0.0
        # What differed when last compared.
        self._suspects: frozenset[Occurrence | Stalled | str] = frozenset()
        # Session or room id -> app id, in order of use.
        self._apps: dict[str, str] = {}
        # Sessions that calls would have had which are being hung up.
        self._intruders: set[str] = set()
        self._log = log.bind(node=node.prefix)
        self.link = Link(
            name=node.prefix,
            host=node.host,
            port=node.port,
            password=node.password,
            subscription=SUBSCRIPTION,
            on_up=self._up,
            on_events=self._happened,
            on_down=self._down,
        )

    def start(self) -> None:
        """Raises StoreUnavailable. From the first write on, what an earlier holder of the node says is refused."""
        self._raise_fence()
        self.link.start()
        self._auditor = gevent.spawn(self._audit)

    def stop(self, handover: bool = False) -> None:
        """With `handover` the node goes on to count as reachable: another worker is about to take it."""
        self._stopping.set()
        self._handover = handover
        self.link.stop()
        if self._auditor:
            self._auditor.kill()

    # Commands out

    def take(self, tag: str, entries: Sequence[str]) -> None:
        """Take commands from a stream of the store and send them, in order. Without a link they stay where they are."""
        connection = self._connection
        if connection is None:
            return
        # Before they are taken: what was taken and not sent would only be missed.
        self._check_lease()
        answer = self._run_many([("take", tag, {"entries": list(entries)})])[0]
        for command in answer.get("commands", []):
            self._remember(command["room"], command["app"])
            try:
                self._send(connection, command)
            except Fenced:
                # It lapsed since. What was taken is settled with the next link, this worker's or another's.
                connection.close()
                raise
            except EslError as error:
                # Not answered: the comparison after the reconnect settles it.
                self._log.warning("command not sent", job=command["job"], reason=str(error))

    def sweep(self) -> None:
        """Handle what the node should have answered or confirmed by now, and count its sessions and rooms."""
        answers = self._run_to_end("overdue")
        self._load = sum(answer["load"] for answer in answers)
        if any(answer["late"] for answer in answers) and not self._suspects:
            self._look.set()

    def _send(self, connection: Connection, command: dict[str, Any]) -> None:
        self._check_lease()
        try:
            rendered = RENDER[command["op"]](self.node, command)
        except (KeyError, ValueError) as error:
            self._apply([JobAnswered(job=command["job"], ok=False, reason="refused", text=str(error))])
            return
        connection.bgapi(rendered, job_uuid=command["job"])

    def _check_lease(self) -> None:
        if time.monotonic() > self._lease_until:
            raise Fenced

    def _take_waiting(self) -> None:
        """What came while the link was away."""
        for tag in keys.TAGS:
            entries = [entry for entry, _ in self._store.read(keys.key(tag, "commands", self.node.prefix))]
            for first in range(0, len(entries), READ_COUNT):
                self.take(tag, entries[first : first + READ_COUNT])

    # Events in

    def _happened(self, events: list[Event]) -> None:
        occurrences = [found for event in events if (found := translate(self._ids, event))]
        # Before anything waits for the store.
        for occurrence in occurrences:
            if isinstance(occurrence, CallIntruded):
                self._hang_up(occurrence)
        if not occurrences:
            return None
        give_up = time.monotonic() + HOLD_SECONDS
        while True:
            try:
                return self._apply(occurrences)
            except StoreUnavailable as error:
                if time.monotonic() > give_up:
                    raise
                self._log.warning("events held", count=len(occurrences), reason=str(error))
                gevent.sleep(0.5)

    def _apply(self, occurrences: Iterable[Occurrence], **extra: Any) -> None:
        """In order, in one round trip. Applied twice they change nothing more."""
        applied = [(occurrence, step) for occurrence in occurrences if (step := self._step(occurrence, extra))]
        if not applied:
            return
        answers = self._run_many([step for _, step in applied])
        for (occurrence, _), answer in zip(applied, answers, strict=True):
            why = REJECTED.get(answer.get("refused", ""))
            if why and isinstance(occurrence, SessionParked):
                self._reject(occurrence, "SWITCH_CONGESTION", why)

    def _step(self, occurrence: Occurrence, extra: dict[str, Any]) -> Step | None:
        if isinstance(occurrence, CallIntruded):
            return None
        script = SCRIPTS[type(occurrence)]
        args = {**asdict(occurrence), **extra}
        if isinstance(occurrence, JobAnswered):
            return script, keys.tag_of_job(occurrence.job), args
        app = self._app_of(occurrence)
        if app is None:
            if isinstance(occurrence, SessionParked):
                self._reject(occurrence, "UNALLOCATED_NUMBER", "nobody owns the number")
            elif isinstance(occurrence, MemberJoined):
                self._remove_member(occurrence)
            return None
        if isinstance(occurrence, SessionParked):
            args["quotas"] = self._registry.quotas_of(app)
        return script, keys.partition_of(app), {**args, "app_id": app}

    def _app_of(self, occurrence: Reported) -> str | None:
        """Whose it is. Known from the command or event before; else the store is asked, partition by partition."""
        kind: Kind
        if isinstance(occurrence, FileDone):
            kind, subject = "room", occurrence.room_id
        else:
            kind, subject = "session", occurrence.session_id
        app = self._apps.get(subject) or self._store.app_of(kind, subject)
        if app is None and isinstance(occurrence, SessionParked):
            owner = self._registry.app_of_did(occurrence.did)
            app = owner.id if owner else None
        if app is not None:
            self._remember(subject, app)
        if isinstance(occurrence, SessionEnded):
            self._apps.pop(subject, None)
            self._intruders.discard(subject)
        return app

    def _remember(self, identifier: str, app: str) -> None:
        self._apps[identifier] = app
        while len(self._apps) > REMEMBERED:
            del self._apps[next(iter(self._apps))]

    def _reject(self, call: SessionParked, cause: str, reason: str) -> None:
        self._log.info("call rejected", did=call.did, session=call.session_id, reason=reason)
        self._send_own(esl.Hangup(call.channel, cause))

    def _hang_up(self, call: CallIntruded) -> None:
        """Told and counted once, hung up whenever it is seen."""
        if call.session_id not in self._intruders:
            self._intruders.add(call.session_id)
            intruders.labels(self.node.prefix).inc()
            self._log.warning("intruder hung up", reason=call.how, address=call.address, session=call.session_id)
        if call.room_id:
            self._send_own(esl.Kick(call.room_id, call.member_id))
        if call.channel:
            self._send_own(esl.Hangup(call.channel, "CALL_REJECTED"))

    def _remove_member(self, member: MemberJoined) -> None:
        """Unless it was a session: events may come late."""
        session = member.session_id
        if self._store.has_ended(session):
            return
        self._hang_up(
            CallIntruded(
                session_id=session,
                how=UNASKED,
                channel=member.channel,
                room_id=member.room_id,
                member_id=member.member_id,
            )
        )

    def _send_own(self, command: esl.Command) -> None:
        """Send a command of the worker's own, also while the link comes up. Nobody waits for what comes of it."""
        connection = self._connection or self.link.connection
        try:
            if connection:
                connection.bgapi(command)
        except (EslError, ValueError) as error:
            self._log.warning("order not sent", reason=str(error))

    # Up and down

    def _up(self, connection: Connection) -> None:
        """Make the store what the node is. Events that happen meanwhile are held by the link and come afterwards."""
        core_uuid = connection.api(esl.CoreUuid()).strip()
        self._intruders.clear()
        self._core_uuid = core_uuid
        restarted = self._store.core_uuid(self.node.prefix) not in (None, core_uuid)
        changes = 0
        for _ in range(RESYNC_ROUNDS):
            plan, rooms = self._compare(connection, restarted)
            self._apply(plan.occurrences, resynced=True)
            self._empty(plan.orphans)
            changes += len(plan.occurrences)
            if not plan.occurrences:
                break
        busy = [room for room in rooms if room["operation"] or room["stopping"]]
        lost = [_playback_lost(room, self._playing(connection, room)) for room in busy]
        self._run_many(lost)
        heard_ms = max(answer["heard_ms"] for answer in self._run_to_end("jobs_lost", resynced=True))
        self._watch_until = max(self._watch_until, time.monotonic() + heard_ms / 1000)
        self._suspects = frozenset()
        self._connection = connection
        self._look.set()
        self.renew()
        self._take_waiting()
        self._log.info("node up", changes=changes, restarted=restarted)

    def _compare(self, connection: Connection, restarted: bool = False) -> tuple[Plan, list[dict[str, Any]]]:
        """What differs between node and store, and the node's rooms. Hangs intruders up."""
        members = read_conferences(connection.api(esl.JsonList()))
        channels = read_channels(connection.api(esl.ShowChannels()))
        sessions, rooms = self._snapshot("sessions"), self._snapshot("rooms")
        self._ids.keep((session["channel"], session["id"]) for session in sessions)
        for known in (*sessions, *rooms):
            self._remember(known["id"], known["app"])

        def exists(uuid: str) -> bool:
            return connection.api(esl.ChannelExists(uuid)).strip() == "true"

        plan = compare(self._ids, sessions, rooms, members, channels, exists, restarted)
        for call in plan.intruders:
            self._hang_up(call)
        return plan, rooms

    def _snapshot(self, what: str) -> list[dict[str, Any]]:
        """What the store has of the node, read in parts."""
        rows: dict[str, dict[str, Any]] = {}
        cursors = dict.fromkeys(keys.TAGS, "0")
        while cursors:
            steps = [("snapshot", tag, {"what": what, "cursor": cursor}) for tag, cursor in cursors.items()]
            answers = dict(zip(cursors, self._run_many(steps), strict=True))
            rows |= {row["id"]: row for answer in answers.values() for row in answer.get("rows", [])}
            cursors = {tag: answer["cursor"] for tag, answer in answers.items() if answer["cursor"] != "0"}
        return list(rows.values())

    def _playing(self, connection: Connection, room: dict[str, Any]) -> str | None:
        return read_playing(connection.api(esl.PlayStatus(room["id"])))

    def _empty(self, orphans: Iterable[str]) -> None:
        for room_id in orphans:
            self._send_own(esl.Kick(room_id, "all"))

    # The audit

    def _audit(self) -> None:
        """Compare again and again: what differs twice in a row did not just happen, it was missed."""
        pause = self._audit_seconds
        while True:
            if self._look.wait(pause):
                self._look.clear()
                # What happened on the node just before is only now in all of its lists.
                gevent.sleep(AUDIT_SOON_SECONDS)
            pause = self._audit_seconds
            connection = self._connection
            if connection is None:
                continue
            try:
                pause = self._audit_once(connection)
            except (EslError, StoreUnavailable, Fenced, ValueError) as error:
                self._log.warning("audit not finished", reason=str(error))
                pause = AUDIT_AGAIN_SECONDS

    def _audit_once(self, connection: Connection) -> float:
        """-> seconds until the next."""
        plan, rooms = self._compare(connection)
        stalled: dict[Stalled, Step] = {}
        for room in rooms:
            if room["operation"] or room["occupied"]:
                playing = self._playing(connection, room)
                if suspect := read_stalled(room, playing):
                    stalled[suspect] = _playback_lost(room, playing)
        found = frozenset([*plan.occurrences, *plan.misplaced, *plan.orphans, *stalled])
        missed, self._suspects = found & self._suspects, found
        if missed:
            self._log.warning("drift", changes=[str(change) for change in missed])
            drift.labels(self.node.prefix).inc(len(missed))
            self._apply([change for change in plan.occurrences if change in missed], resynced=True)
            self._empty(room_id for room_id in plan.orphans if room_id in missed)
            for call in plan.misplaced:
                if call in missed:
                    self._hang_up(call)
            self._run_many([step for suspect, step in stalled.items() if suspect in missed])
        hurry = found or time.monotonic() < self._watch_until
        return AUDIT_AGAIN_SECONDS if hurry else self._audit_seconds * random.uniform(0.8, 1.2)  # noqa: S311

    def _down(self, reason: str) -> None:
        self._connection = None
        self._log.warning("node down", reason=reason)
        if self._handover:
            return
        try:
            self.renew()
        except (StoreUnavailable, Fenced) as error:
            self._log.warning("node down not published", reason=str(error))

    # The lease

    def renew(self) -> None:
        """Keep the lease, and publish whether the node is reachable. Raises Fenced, StoreUnavailable."""
        started = time.monotonic()
        args = {"up": self._connection is not None, "load": self._load, "core_uuid": self._core_uuid}
        token = take_lease(self._store, self.node.prefix, self._owner, **args).get("token")
        if token == self._context["token"] + 1:
            # It lapsed while the store was away, and nobody else took it: nothing was missed.
            self._context["token"] = token
            self._raise_fence()
        elif token != self._context["token"]:
            raise Fenced
        self._lease_until = started + LEASE_SECONDS

    def _raise_fence(self) -> None:
        self._run_many([("fence", tag, {}) for tag in keys.TAGS])

    def _run_to_end(self, script: str, **args: Any) -> list[dict[str, Any]]:
        """A step that does a part at a time, in each partition until nothing is left. -> all answers."""
        answers, tags = [], list(keys.TAGS)
        while tags:
            found = self._run_many([(script, tag, args) for tag in tags])
            answers += found
            tags = [tag for tag, answer in zip(tags, found, strict=True) if answer["more"]]
        return answers

    def _run_many(self, steps: Sequence[Step]) -> list[dict[str, Any]]:
        answers = self._store.run_many([(script, tag, {**args, **self._context}) for script, tag, args in steps])
        if any(answer.get("refused") == "fenced" for answer in answers):
            raise Fenced
        for (_, tag, _), answer in zip(steps, answers, strict=True):
            tell_endings(self._store, tag, answer)
        return answers


def _playback_lost(room: dict[str, Any], playing: str | None) -> Step:
    args = {"room_id": room["id"], "playing": playing, "resynced": True}
    return "playback_lost", keys.partition_of(room["app"]), args


def take_lease(store: Store, prefix: str, owner: str, **state: Any) -> dict[str, Any]:
    """-> `{"token"}` when `owner` holds the node now, `{"held_by"}` when another does."""
    args = {"owner": owner, "ttl": int(LEASE_SECONDS * 1000), "live_ttl": int(LIVE_SECONDS * 1000), **state}
    return store.run("lease", keys.node_tag(prefix), args)


class Worker:
    """Holds whatever nodes it can. `reader` is a store for blocking reads: its timeout must exceed WAIT_SECONDS.

    `session_key` is the same for all workers of a store (see `SessionIds`).
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        reader: Store,
        owner: str,
        session_key: bytes,
        audit_seconds: float = AUDIT_SECONDS,
    ) -> None:
        self._store = store
        self._registry = registry
        self._reader = reader
        self._owner = owner
        self._session_key = session_key
        self._audit_seconds = audit_seconds
        self._held: dict[str, NodeWorker] = {}
        # Nodes that nobody held when last looked.
        self._free: set[str] = set()
        self._stopping = Flag()
        self._greenlets: list[gevent.Greenlet[..., Any]] = []

    def start(self) -> None:
        groups = [[tag] for tag in keys.TAGS] if self._store.clustered else [list(keys.TAGS)]
        self._greenlets = [gevent.spawn(self._hold), *(gevent.spawn(self._read, tags) for tags in groups)]

    def stop(self, timeout: float = 10.0) -> None:
        """Take no more, finish what was taken, cut the links, hand the leases over."""
        self._stopping.set()
        gevent.joinall(self._greenlets, timeout=timeout)
        gevent.killall(self._greenlets, timeout=1.0)
        others: list[int] = []
        with suppress(StoreUnavailable):
            others = self._others(leaves=True)
        for prefix in list(self._held):
            self._let_go(prefix, handover=bool(others))

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
                continue
            try:
                held.renew()
                held.sweep()
            except Fenced:
                log.warning("node held by another worker", node=prefix)
                self._let_go(prefix)
        others = self._others()
        if len(self._held) - min(others, default=len(self._held)) > 1:
            self._let_go(next(iter(self._held)), handover=True)
        else:
            self._take_free(nodes, others)

    def _others(self, **leaving: bool) -> list[int]:
        """How many nodes each other worker holds."""
        args = {"owner": self._owner, "held": len(self._held), "ttl": int(LEASE_SECONDS * 1000), **leaving}
        return list(self._store.run("workers", keys.REGISTRY, args).get("others", []))

    def _take_free(self, nodes: dict[str, Node], others: list[int]) -> None:
        """Take a share of the nodes that nobody holds. Whoever holds more than another leaves it a tick's time."""
        free = [prefix for prefix in nodes if prefix not in self._held and not self._store.is_held(prefix)]
        waits = len(self._held) > min(others, default=len(self._held))
        ready = [prefix for prefix in free if not waits or prefix in self._free]
        self._free = set(free)
        for prefix in ready[: math.ceil(len(ready) / (len(others) + 1))]:
            token = take_lease(self._store, prefix, self._owner).get("token")
            if token is not None:
                held = self._held[prefix] = NodeWorker(
                    self._store,
                    self._registry,
                    nodes[prefix],
                    self._owner,
                    token,
                    session_key=self._session_key,
                    audit_seconds=self._audit_seconds,
                )
                held.start()

    def _let_go(self, prefix: str, handover: bool = False) -> None:
        self._held.pop(prefix).stop(handover)
        # If the store is away the lease lapses by itself.
        with suppress(StoreUnavailable):
            self._store.run("release", keys.node_tag(prefix), {"owner": self._owner, "handover": handover})

    # Commands

    def _read(self, tags: Sequence[str]) -> None:
        """Follow the command streams of `tags` for all nodes held. Takes are by entry, so reading twice is harmless."""
        last: dict[str, str] = {}
        while not self._stopping.is_set():
            streams = {
                stream: (tag, held)
                for held in self._held.values()
                for tag in tags
                for stream in [keys.key(tag, "commands", held.node.prefix)]
            }
            if not streams:
                self._stopping.wait(0.1)
                continue
            try:
                positions = {stream: last.get(stream, BEGINNING) for stream in streams}
                for stream, entries in self._reader.follow(positions, count=READ_COUNT, wait=WAIT_SECONDS).items():
                    tag, held = streams[stream]
                    held.take(tag, [entry for entry, _ in entries])
                    last[stream] = entries[-1][0]
            except Fenced:
                self._stopping.wait(0.1)
            except StoreUnavailable as error:
                log.warning("commands not read", reason=str(error))
                self._stopping.wait(0.5)
            except Exception:
                log.exception("commands not read")
                self._stopping.wait(0.5)


def _address(node: Node) -> tuple[str, str, str]:
    return node.esl, node.password, node.profile
