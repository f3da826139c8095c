"""The audit of a node: its own lists compared with the store, when a link comes up and then again and again.

How it works: when a connection ends, events and results are lost with it. So when the link comes up again, and before
its first event is handled, `resync` compares, and makes the store what the node is. Meanwhile the node goes on, and its
lists are read one after the other, so it compares anew until nothing differs. What happens later comes as an event; one
that the comparison has found already changes nothing.

An event may also be missed without a lost link. So the audit compares from time to time, beside the handling of
events. What differs then may have happened just now, with its event still on the way, or handled after the node's list
was read. That is why the audit looks twice: only what differs in the same way at two comparisons in a row, of a session
of which no event has told meanwhile, was missed, and is put right. It believes the node's list of channels, which lags;
`resync` asks the node for each parked call instead.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

import gevent
import structlog
from gevent.event import Event as Flag
from gevent.lock import BoundedSemaphore

from controller import metrics
from controller.errors import Fenced, StoreUnavailable
from controller.ids import SessionIds
from controller.nodes.compare import (
    Plan,
    PlaybackDrift,
    compare,
    compare_playback,
    compare_played,
    compare_recordings,
    compare_relations,
    read_answered,
    read_calls,
    read_dialled,
    read_elsewhere,
    read_legs,
    read_list,
    read_members,
    read_playing,
    read_recordings,
    read_relations,
    read_taps,
)
from controller.nodes.events import CallIntruded, LegEvent, NodeEvent, RecordingEvent, SessionEvent
from controller.nodes.handler import EventHandler
from controller.nodes.history import NodeHistory
from controller.nodes.lease import NodeLease, Row
from controller.store import keys
from controller.store.store import Step
from esl import commands as esl
from esl.connection import Connection
from esl.errors import EslError

# A node may change faster than it is compared. The audit finds what is left.
MAX_RESYNC_ROUNDS = 3
# Nodes of a process that are compared at a time when their links come up: each gives it much to do, and all else, such
# as renewing leases, waits for its turn among them.
MAX_RESYNCS = 4
_RESYNCS = BoundedSemaphore(MAX_RESYNCS)

Difference = SessionEvent | LegEvent | RecordingEvent | CallIntruded | PlaybackDrift | tuple[str, str] | str


@dataclass(frozen=True)
class Intervals:
    """Seconds before the next comparison.

    `usual`, give or take a fifth; `soon` after a link came up or when the node is late; `again` when something
    differed, or when a play that counts as failed may still be heard.
    """

    usual: float = 30.0
    soon: float = 1.0
    again: float = 2.0


class Audit:
    """Compares the node with `prefix`, from `start` to `stop`, whenever a link is up."""

    def __init__(
        self,
        prefix: str,
        lease: NodeLease,
        ids: SessionIds,
        handler: EventHandler,
        intervals: Intervals,
        history: NodeHistory,
    ) -> None:
        self._lease = lease
        self._ids = ids
        self._handler = handler
        self._intervals = intervals
        self._history = history
        self._drift_total = metrics.drift.labels(prefix)
        self._members = metrics.members.labels(prefix)
        self._log = structlog.get_logger(__name__).bind(node=prefix)
        self._connection: Connection | None = None
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._due_soon = Flag()
        # What differed at the last comparison, and when that began, on the monotonic clock.
        self._differences: frozenset[Difference] = frozenset()
        self._compared_at = 0.0
        # When an event last told of a session; of those since the last comparison began.
        self._heard: dict[str, float] = {}
        # Until when a play that counts as failed may still be heard, on the monotonic clock.
        self._may_be_heard_until = 0.0

    @property
    def is_due_soon(self) -> bool:
        """Whether the next comparison does not wait for its usual time."""
        return self._due_soon.is_set()

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        if self._greenlet:
            self._greenlet.kill()

    def resync(self, connection: Connection, *, restarted: bool) -> int:
        """Make the store what the node is, over a new connection. Returns how many events that took.

        `restarted`: the node is another process than the one that the store knows. Raises EslError, StoreUnavailable,
        Fenced, ValueError.
        """
        with _RESYNCS:
            return self._resync(connection, restarted)

    def _resync(self, connection: Connection, restarted: bool) -> int:
        changes = 0
        for _ in range(MAX_RESYNC_ROUNDS):
            plan, rooms = self._compare(connection, restarted)
            self._handler.apply(plan.events, resynced=True)
            self._handler.empty(plan.orphans)
            self._handler.stop_recordings(plan.stray_recordings)
            changes += len(plan.events)
            if not plan.events:
                break
        busy = [room for room in rooms if room["operation"] or room["stopping"]]
        self._lease.run_each(_playback_step(room, _playing(connection, room)) for room in busy)
        # The results of the commands that were sent over the connection before will not come any more.
        heard_ms = max(reply.get("heard_ms", 0) for reply in self._lease.run_everywhere("jobs_lost", resynced=True))
        self._may_be_heard_until = max(self._may_be_heard_until, time.monotonic() + heard_ms / 1000)
        self._differences = frozenset()
        self._connection = connection
        self._due_soon.set()
        return changes

    def link_lost(self) -> None:
        self._connection = None

    def node_is_late(self) -> None:
        """Compare soon, as an event may have been missed; unless something differed, which is looked at soon anyway."""
        if not self._differences:
            self._due_soon.set()

    def heard(self, events: Iterable[NodeEvent]) -> None:
        """These events have come, and are handled now."""
        now = time.monotonic()
        self._heard.update((session_id, now) for event in events if (session_id := _session(event)))

    def compare_once(self) -> float:
        """Compare, and put right what differed the last time too. Returns the seconds until the next comparison.

        Does nothing without a link. Raises as `resync` does.
        """
        connection = self._connection
        if connection is None:
            return self._intervals.usual
        began = time.monotonic()
        plan, rooms = self._compare(connection, trusts_list=True)
        playback: dict[PlaybackDrift, Step] = {}
        for room in rooms:
            if room["operation"] or room["occupied"]:
                playing = _playing(connection, room)
                if difference := compare_playback(room, playing):
                    playback[difference] = _playback_step(room, playing)
        found = frozenset([*plan.events, *plan.possible_intruders, *plan.orphans, *plan.stray_recordings, *playback])
        again = found & self._differences
        missed = {each for each in again if self._heard.get(_session(each), 0.0) < self._compared_at}
        self._differences, self._compared_at = found, began
        self._heard = {session_id: at for session_id, at in self._heard.items() if at >= began}
        if missed:
            self._log.warning("drift", changes=[str(difference) for difference in missed])
            self._drift_total.inc(len(missed))
            self._history.drifted(missed)
            self._handler.apply([event for event in plan.events if event in missed], resynced=True)
            self._handler.empty(room_id for room_id in plan.orphans if room_id in missed)
            self._handler.stop_recordings(each for each in plan.stray_recordings if each in missed)
            for call in plan.possible_intruders:
                if call in missed:
                    self._handler.hang_up(call)
            self._lease.run_each(step for difference, step in playback.items() if difference in missed)
        if found or time.monotonic() < self._may_be_heard_until:
            return self._intervals.again
        return self._intervals.usual * random.uniform(0.8, 1.2)  # noqa: S311

    def _run(self) -> None:
        pause = self._intervals.usual
        while True:
            if self._due_soon.wait(pause):
                self._due_soon.clear()
                # By then the node's lists show all that had just happened.
                gevent.sleep(self._intervals.soon)
            try:
                pause = self.compare_once()
            except (EslError, StoreUnavailable, Fenced, ValueError) as error:
                self._log.warning("audit not finished", reason=str(error))
                pause = self._intervals.again
            except Exception:
                self._log.exception("audit not finished")
                pause = self._intervals.usual

    def _compare(
        self, connection: Connection, restarted: bool = False, *, trusts_list: bool = False
    ) -> tuple[Plan, list[Row]]:
        """What differs, and the node's rooms in the store. Hangs up calls that can be no session, and
        legs that are over.
        """
        conferences = read_list(connection.api(esl.JsonList()))
        members, recorded = read_members(conferences), read_recordings(conferences)
        channels = read_list(connection.api(esl.ShowChannels()))
        calls, legs = read_calls(channels), read_legs(channels)
        self._members.set(len(members.keys() - legs))
        sessions, broken_sessions = self._lease.snapshot("sessions")
        rooms, broken_rooms = self._lease.snapshot("rooms")
        recordings, _ = self._lease.snapshot("recordings")
        self._ids.keep((session["channel"], session["id"]) for session in sessions)
        for channel in {row["channel"] for row in recordings if "channel" in row}:
            recorded |= read_taps(connection.api(esl.ListTaps(channel)))
        for row in (*sessions, *rooms, *recordings):
            self._handler.remember(row["id"], row["app"])

        def exists(channel: str) -> bool:
            return connection.api(esl.ChannelExists(channel)).strip() == "true"

        broken = broken_sessions | broken_rooms
        plan = compare(
            self._ids,
            sessions,
            rooms,
            members,
            calls,
            exists,
            restarted,
            broken,
            legs,
            read_dialled(channels),
            read_answered(channels),
            trusts_list,
            read_elsewhere(conferences),
        )
        plan.events.extend(compare_played(sessions, lambda session: _plays_to(connection, session)))
        plan.events.extend(compare_relations(sessions, rooms, lambda *coach: _related(connection, *coach)))
        compare_recordings(plan, recordings, recorded, restarted)
        for call in plan.intruders:
            self._handler.hang_up(call)
        for leg in plan.stray_legs:
            self._handler.hang_up_leg(leg)
        return plan, rooms


def _session(of: object) -> str:
    """The session that an event or a difference is about; "" for none."""
    return getattr(of, "session_id", "")


def _playing(connection: Connection, room: Row) -> str | None:
    return read_playing(connection.api(esl.PlayStatus(room["id"])))


def _related(connection: Connection, room_id: str, member_id: int) -> set[int]:
    return read_relations(connection.api(esl.Relations(room_id, member_id)), member_id)


def _plays_to(connection: Connection, session: Row) -> bool:
    member_id = session.get("member_id")
    asked = esl.IsPlaying(session["channel"]) if member_id is None else esl.PlayStatus(session["room"], member_id)
    return connection.api(asked).startswith("+OK")


def _playback_step(room: Row, playing: str | None) -> Step:
    args = {"room_id": room["id"], "playing": playing, "resynced": True}
    return "playback_lost", keys.partition_of(room["app"]), args
