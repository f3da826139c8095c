"""What a node's events lead to: each is applied to the store, and calls that can be no session are hung up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any, get_args

import structlog

from controller.ids import tag_of_job
from controller.metrics import confirmations, intruders
from controller.nodes.events import (
    DIALLED_BY_NOBODY,
    JOINED_UNASKED,
    CallIntruded,
    DialEvent,
    DigitPressed,
    JobDone,
    LegJoined,
    MemberJoined,
    RecordingEnded,
    RecordingEvent,
    RoomEvent,
    SessionEnded,
    SessionEvent,
    SessionFound,
    SessionParked,
    SessionTransferred,
    SpeakersChanged,
    StateEvent,
)
from controller.nodes.lease import NodeLease
from controller.registry import Registry
from controller.signing import fingerprint
from controller.store import keys
from controller.store.store import Kind, Reply, Step, Store
from esl import commands as esl

# Rooms and sessions of which a worker remembers the app.
MAX_REMEMBERED = 200_000
# What may begin something that the app's quotas bound, or is told only while they have room.
_TAKE_QUOTAS = (SessionParked, SpeakersChanged, DigitPressed, MemberJoined, LegJoined, RecordingEnded)
# Events that are applied in one round trip: what else the process does, such as renewing leases, comes in between.
MAX_APPLIED = 200
# The names of what each kind of event says.
_FIELDS = {kind: tuple(item.name for item in fields(kind)) for kind in get_args(StateEvent)}
# Calls that a comparison has found which are one step: it takes the store 1 to 2 ms.
MAX_FOUND = 10
# The cause by which a parked call of no app is hung up, and why.
UNOWNED = ("UNALLOCATED_NUMBER", "nobody owns the number")
# Why one is hung up when the store refuses it as a session: nobody could use it.
REJECTIONS = {"store_full": "the store is full", "quota_exceeded": "a quota of its app is used up"}


class EventHandler:
    """Handles the events of the node with `prefix`. `send` sends the node a command whose result nobody waits for."""

    def __init__(
        self, prefix: str, lease: NodeLease, store: Store, registry: Registry, send: Callable[[esl.Command], None]
    ) -> None:
        self._lease = lease
        self._store = store
        self._registry = registry
        self._send = send
        self._intruders_total = intruders.labels(prefix)
        self._log = structlog.get_logger(__name__).bind(node=prefix)
        # The app by the id of a room or session; the oldest entries are forgotten first.
        self._apps: dict[str, str] = {}
        # Session ids of the intruders that are counted already and not seen to have ended.
        self._intruders: set[str] = set()

    def apply(self, events: Iterable[StateEvent], *, resynced: bool = False) -> None:
        """Change the store's state in the order of the events, many in one round trip once their apps are known. A
        repeat changes nothing more.

        `resynced` marks webhooks about what a comparison found. Raises Fenced, StoreUnavailable.
        """
        waiting, extra = iter(events), {"resynced": True} if resynced else {}
        while part := list(islice(waiting, MAX_APPLIED)):
            self._apply(part, extra)

    def _apply(self, events: Sequence[StateEvent], extra: dict[str, Any]) -> None:
        applied: list[tuple[StateEvent | list[SessionFound], Step]] = [
            (event, step)
            for event in events
            if not isinstance(event, SessionFound) and (step := self._step(event, extra))
        ]
        applied.extend(self._steps_of_found((event for event in events if isinstance(event, SessionFound)), extra))
        if not applied:
            return
        replies = self._lease.run_each(step for _, step in applied)
        for (event, _), reply in zip(applied, replies, strict=True):
            if "took" in reply:
                confirmations.labels(reply["command"]).observe(reply["took"] / 1000)
            if isinstance(event, list):
                self._reject_some(event, reply)
            elif isinstance(event, SessionParked):
                self._reject_some([event], reply)
            elif reply.get("unknown") and isinstance(event, DialEvent):
                self._hang_up_dialled(event)
            elif reply.get("stray") and isinstance(event, LegJoined | SessionTransferred):
                self.hang_up_leg(event.leg)

    def hang_up(self, call: CallIntruded) -> None:
        """Hang an intruder up, and take it out of its room. It is logged and counted only when first seen."""
        if call.session_id not in self._intruders:
            self._intruders.add(call.session_id)
            self._intruders_total.inc()
            self._log.warning("intruder hung up", reason=call.reason, address=call.address, session=call.session_id)
        if call.room_id:
            self._send(esl.Kick(call.room_id, call.member_id))
        if call.channel:
            self._send(esl.Hangup(call.channel, "CALL_REJECTED"))

    def hang_up_leg(self, leg: str) -> None:
        """Of a room, or to a number to which a call was transferred."""
        self._send(esl.Hangup(leg))

    def empty(self, conferences: Iterable[str]) -> None:
        """Take everybody out of conferences that are no room."""
        for conference in conferences:
            self._send(esl.Kick(conference, "all"))

    def stop_recordings(self, recordings: Iterable[tuple[str, str]]) -> None:
        """Stop what is recorded, and should not be: a conference and a path each."""
        for conference, path in recordings:
            self._send(esl.ControlRoomRecording(conference, path, "stop"))

    def forget_intruders(self) -> None:
        """For use after a time without events, in which some may have ended."""
        self._intruders.clear()

    def remember(self, identifier: str, app: str) -> None:
        """Note the app of a room, session or recording, so that the store need not be asked."""
        self._apps[identifier] = app
        while len(self._apps) > MAX_REMEMBERED:
            del self._apps[next(iter(self._apps))]

    def _step(self, event: StateEvent, extra: dict[str, Any]) -> Step | None:
        args = {name: getattr(event, name) for name in _FIELDS[type(event)]} | extra
        if isinstance(event, JobDone):
            return event.script, tag_of_job(event.job), args
        app = self._app_of(event)
        if app is None:
            if isinstance(event, SessionParked):
                self._reject(event, *UNOWNED)
            elif isinstance(event, DialEvent):
                self._hang_up_dialled(event)
            elif isinstance(event, MemberJoined):
                self._remove_member(event)
            elif isinstance(event, LegJoined | SessionTransferred):
                self.hang_up_leg(event.leg)
            return None
        if isinstance(event, SessionParked):
            args["app_id"] = app
        elif isinstance(event, MemberJoined | DialEvent):
            del args["channel"]
        elif isinstance(event, DigitPressed):
            owner = self._registry.app(app)
            args["url_base"] = fingerprint(owner.webhook_url if owner else "")
        if isinstance(event, _TAKE_QUOTAS):
            args["quotas"] = self._registry.quotas_of(app)
        return event.script, keys.partition_of(app), args

    def _steps_of_found(
        self, events: Iterable[SessionFound], extra: dict[str, Any]
    ) -> Iterator[tuple[list[SessionFound], Step]]:
        found: dict[str, list[SessionFound]] = defaultdict(list)
        for event in events:
            if app := self._app_of(event):
                found[app].append(event)
            else:
                self._reject(event, *UNOWNED)
        for app, calls in found.items():
            for first in range(0, len(calls), MAX_FOUND):
                part = calls[first : first + MAX_FOUND]
                args = {"app_id": app, "calls": part, "quotas": self._registry.quotas_of(app), **extra}
                yield part, (SessionFound.script, keys.partition_of(app), args)

    def _app_of(self, event: SessionEvent | RoomEvent | RecordingEvent) -> str | None:
        """The app it is about: remembered, or from the store, or for a new call the owner of the number."""
        kind: Kind
        if isinstance(event, RoomEvent):
            kind, identifier = "room", event.room_id
        elif isinstance(event, RecordingEvent):
            kind, identifier = "recording", event.recording_id
        else:
            kind, identifier = "session", event.session_id
        # Of a call that is found the store has nothing.
        is_found = isinstance(event, SessionFound)
        app = self._apps.get(identifier) or (None if is_found else self._store.app_of(kind, identifier))
        if app is None and isinstance(event, SessionParked | SessionFound):
            owner = self._registry.app_of_did(event.did)
            app = owner.id if owner else None
        if isinstance(event, SessionEnded):
            self._apps.pop(identifier, None)
            self._intruders.discard(identifier)
        elif app is not None:
            self.remember(identifier, app)
        return app

    def _reject_some(self, calls: Iterable[SessionParked | SessionFound], reply: Reply) -> None:
        """Of calls that were to become sessions by a step: those that it refused."""
        for call in calls:
            if reason := REJECTIONS.get(reply.get("refused") or reply.get("rejected", {}).get(call.session_id, "")):
                self._reject(call, "SWITCH_CONGESTION", reason)

    def _reject(self, call: SessionParked | SessionFound, cause: str, reason: str) -> None:
        self._log.info("call rejected", did=call.did, session=call.session_id, reason=reason)
        self._send(esl.Hangup(call.channel, cause))

    def _hang_up_dialled(self, call: DialEvent) -> None:
        """The call goes on, and its session was given up: there shall be no call that nobody knows."""
        self.hang_up(CallIntruded(session_id=call.session_id, reason=DIALLED_BY_NOBODY, channel=call.channel))

    def _remove_member(self, member: MemberJoined) -> None:
        """Remove a member that is no session, unless it was one and has ended: then its event comes late."""
        if self._store.has_ended(member.session_id):
            return
        self.hang_up(
            CallIntruded(
                session_id=member.session_id,
                reason=JOINED_UNASKED,
                channel=member.channel,
                room_id=member.room_id,
                member_id=member.member_id,
            )
        )
