"""Anything may happen in any order, on API and node: what tenants were told must add up to what the store holds."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.commands.sessions import as_text
from controller.nodes.compare import compare_relations
from controller.sessions import flags as rows
from controller.sessions.flags import FLAGS, JOINING, Flag
from controller.sessions.levels import LEVELS, MAX_LEVEL, MIN_LEVEL, WEBHOOK
from controller.store import keys
from controller.store.states import ROLES
from tests.integration.webhook_fixtures import WEBHOOK_BYTES
from tests.integration.world import NODE, World
from tests.open_store import OpenStore

UNPLAYABLE = {"ok": False, "reason": "unplayable"}
REFUSED = {"ok": False, "reason": "refused", "text": "x"}
URLS = [f"http://media.example/{name}.wav" for name in "abc"]
# How an operation may end, once.
ENDS = ("conference.play.finished", "conference.play.stopped")
# By the node's command, and the webhooks.
CHANGES = {flag.change(on).command: (flag, on) for flag, on in rows.CHANGES}
CHANGED = (*(flag.change(on).webhook for flag, on in CHANGES.values()), WEBHOOK, "conference.member.updated",
           "conference.member.coaching", "conference.member.uncoached")  # fmt: skip
OF_LEVELS = tuple(level.name for level in LEVELS)
# The webhooks whose command_uid is not that of a change of a member.
OTHERS = ("session.", "conference.member.join", "conference.member.left")

WEBHOOKS = {command: flag.change(on).webhook for command, (flag, on) in CHANGES.items()} | dict.fromkeys(
    OF_LEVELS, WEBHOOK
)
COACHING = {"coach": "conference.member.coaching", "uncoach": "conference.member.uncoached"}
WEBHOOKS |= COACHING
# What else a member is.
DESCRIBED = ("role", "tags", "end_on_exit", "waiting", "coaching")


# The steps of a recording, and the states in which they leave it.
RECORDED = r"(started( paused resumed)*( paused)?)?( stopped)?( ?(available|failed))?"
RUNNING = ("starting", "recording", "paused", "stopping")
STATES = {"started": "recording", "resumed": "recording", "paused": "paused"}


class Machine:
    """Tenant and node of one partition. The node's side is kept here: `there` is who is in which conference."""

    def __init__(self, store: OpenStore, random: Random) -> None:
        store.client.flushall()
        self.asks_for_digits(store)
        self.store = store
        self.random = random
        self.world = World(store)
        self.world.tell("fence")
        self.world.sends_at_once = lambda: self.random.random() < 0.3
        self.rooms: list[str] = []
        self.numbers = itertools.count(1)
        self.there: dict[str, tuple[str, int]] = {}
        # Of the sessions in there: which flags are on, and at what the levels are.
        self.flags: dict[str, dict[str, bool]] = {}
        self.levels: dict[str, dict[str, int]] = {}
        # By whom each is not heard, by their member ids.
        self.unheard_by: dict[str, set[int]] = defaultdict(set)
        self.calls: dict[str, int] = {}
        self.waiting = self.world.sent_at_once
        self.history: list[tuple[str, dict[str, Any]]] = []
        # The commands to change members that were accepted, by session and command_uid, in their order.
        self.accepted: dict[str, dict[str, str]] = defaultdict(dict)
        # Those among them that are part of a join, which has to succeed.
        self.joins: set[str] = set()
        # The commands to all members of a room that were accepted, by operation.
        self.to_all: dict[str, str] = {}
        # What the nodes play: the operation, the place of the URL in it, and as what `play_status` names it.
        self.queues: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
        # The hang-ups that were accepted and have not ended: the command_uid by the session.
        self.hang_ups: dict[str, str] = {}
        # The same of digits.
        self.dtmf: dict[str, str] = {}
        # What is played to sessions: the command_uid by the operation. What the node plays to them: operation and index.
        self.plays: dict[str, str] = {}
        self.heard: dict[str, list[tuple[str, int]]] = {}
        # The keys that callers have pressed.
        self.pressed: dict[str, list[str]] = defaultdict(list)
        # What is collected of them: the command_uid and the digits, by the session.
        self.collecting: dict[str, list[str]] = {}
        # The calls that the tenant makes and that have not been answered: the command_uid by the session. Of these, those
        # that the node makes, with their numbers.
        self.dials: dict[str, str] = {}
        self.dialled: dict[str, int] = {}
        # The transfers that were accepted and have not ended: the command_uid by the session. And the calls to the
        # numbers that the node makes, and that have answered, by the session as well.
        self.transfers: dict[str, str] = {}
        self.called: dict[str, str] = {}
        self.connected: dict[str, str] = {}
        # What the node records: the room or session by the recording; and the files that it has.
        self.recorded: dict[str, str] = {}
        self.files: set[str] = set()
        # The recordings that were begun, those of rooms by themselves too.
        self.recordings: set[str] = set()
        # The numbers of those that were given to nobody yet.
        self.dial_numbers: dict[str, int] = {}

    @staticmethod
    def asks_for_digits(store: OpenStore) -> None:
        endpoint = {"url": "http://app.example/", "types": '["*", "session.dtmf"]', "url_base": "base"}
        store.client.hset(keys.key(keys.partition_of("demo"), "endpoint", "demo"), mapping=endpoint)

    # The tenant

    def create(self) -> None:
        self.rooms.append(self.world.create(f"room{next(self.numbers)}"))

    def delete(self) -> None:
        self.world.ask("delete_room", room_id=self._room())

    def change(self) -> None:
        options = self.random.choice(
            [{"locked": True}, {"locked": False}, {"max_members": 1}, {"max_members": None, "end_when_empty": 1800},
             {"max_duration": 1800}, {"end_when_empty": None, "max_duration": None},
             {"tags": '["one","two"]'}, {"tags": '["two"]'}, {"tags": "[]"},
             {"end_on_exit": "moderator"}, {"end_on_exit": "participant"}, {"end_on_exit": None},
             {"speaker_events": True}, {"speaker_events": False}, {"record": True}, {"record": False},
             {"wait_for_moderator": True}, {"wait_for_moderator": True, "hold_music": URLS[0]},
             {"wait_for_moderator": False}, {"hold_music": None},
             {"beep_enter": URLS[0], "beep_exit": "tone"}, {"beep_enter": None, "beep_exit": URLS[0]}]
        )  # fmt: skip
        self.world.ask("change_room", room_id=self._room(), options=options)

    def join(self) -> None:
        flags = [flag.name for flag in JOINING if self.random.choice([True, False])]
        role, tags = self.random.choice(ROLES), as_text(["one", "two"][: self.random.randint(0, 2)])
        more = {"role": role, "tags": tags, "end_on_exit": self.random.random() < 0.1}
        session, level, value = self._session(), self.random.choice(OF_LEVELS), self.random.choice([0, 0, -3, 4])
        if value:
            uid = f"uid{next(self.numbers)}"
            self.accepted[session][uid] = level
            self.joins.add(uid)
            more |= {"levels": as_text([(level, value)]), "command_uid": uid}
        self.world.ask("join", session_id=session, room_id=self._room(), flags=flags, **more)

    def leave(self) -> None:
        self.world.ask("leave", session_id=self._session())

    def kick(self) -> None:
        self.world.ask("leave", command="kick", session_id=self._session(), kicked=True, reason="off topic")

    def dial(self) -> None:
        number, uid = next(self.numbers), f"uid{next(self.numbers)}"
        room = self.random.choice([None, self._room()])
        answer = self.world.ask_dial(number, command_uid=uid, room_id=room)
        if "refused" not in answer:
            self.dials[answer["session_id"]] = uid
            self.dial_numbers[answer["session_id"]] = number

    def transfer(self) -> None:
        number, uid, session = next(self.numbers), f"uid{next(self.numbers)}", self._session()
        if "refused" not in self.world.ask_transfer(session, number, command_uid=uid):
            self.transfers[session] = uid

    def end_call(self) -> None:
        uid, session = f"uid{next(self.numbers)}", self.random.choice([self._session(), *self.dials])
        pending = session in self.hang_ups
        answer = self.world.ask("hang_up", session_id=session, cause="USER_BUSY", command_uid=uid)
        if "refused" not in answer and not pending:
            self.hang_ups[session] = uid

    def send_dtmf(self) -> None:
        uid, session = f"uid{next(self.numbers)}", self._session()
        answer = self.world.ask(
            "send_dtmf", command="dtmf", session_id=session, digits="12#", duration=250, sending_ms=0, command_uid=uid
        )
        assert session not in self.dtmf or answer["refused"] == "dtmf_pending"
        if "refused" not in answer:
            self.dtmf[session] = uid

    def play_to(self) -> None:
        uid, operation, session = f"uid{next(self.numbers)}", f"op{next(self.numbers)}", self._session()
        urls = URLS[: self.random.randint(1, 3)]
        if "refused" not in self.world.play_to(session, *urls, operation=operation, command_uid=uid):
            self.plays[operation] = uid

    def stop_session_play(self) -> None:
        self.world.ask("stop_session_play", session_id=self._session())

    def collect(self) -> None:
        uid, session = f"uid{next(self.numbers)}", self._session()
        before = self.collecting.get(session)
        wanted = {"max_digits": 3, "terminators": "#", "timeout_ms": 3_600_000, "digit_timeout_ms": 3_600_000}
        answer = self.world.ask("collect_digits", session_id=session, command_uid=uid, **wanted)
        if "refused" not in answer:
            if before:
                self.tenants_were_told_what_is()
                assert session not in self.collecting
            self.collecting[session] = [uid, ""]

    def set_flag(self) -> None:
        session, flag, on = self._session(), self.random.choice(FLAGS), self.random.choice([True, False])
        uid = f"uid{next(self.numbers)}"
        if "refused" not in self.world.set_flag(session, flag, on, command_uid=uid):
            self.accepted[session][uid] = flag.change(on).command

    def set_level(self) -> None:
        session, level, value = (
            self._session(),
            self.random.choice(OF_LEVELS),
            self.random.randint(MIN_LEVEL, MAX_LEVEL),
        )
        uid = f"uid{next(self.numbers)}"
        if "refused" not in self.world.set_level(session, level, value, command_uid=uid):
            self.accepted[session][uid] = level

    def coach(self) -> None:
        session, uid = self._session(), f"uid{next(self.numbers)}"
        if "refused" not in self.world.coach(session, self._session(), command_uid=uid):
            self.accepted[session][uid] = "coach"

    def uncoach(self) -> None:
        session, uid = self._session(), f"uid{next(self.numbers)}"
        if "refused" not in self.world.ask("uncoach", session_id=session, command_uid=uid):
            self.accepted[session][uid] = "uncoach"

    def change_member(self) -> None:
        """Its role and tags; more than one change has the same command_uid more than once."""
        given = {"role": self.random.choice(ROLES), "tags": as_text(["one", "two"][: self.random.randint(0, 2)])}
        self.world.ask("change_member", session_id=self._session(), room_id=self._room(), flags=[], levels=[], **given)

    def flag_of_all(self) -> None:
        room, flag, on = self._room(), self.random.choice(FLAGS), self.random.choice([True, False])
        operation = f"all{next(self.numbers)}"
        if "refused" not in self.world.flag_of_all(room, flag, on, operation_id=operation):
            self.to_all[operation] = flag.change(on).command

    def kick_all(self) -> None:
        operation = f"all{next(self.numbers)}"
        if "refused" not in self.world.kick_all(self._room(), operation_id=operation, reason="over"):
            self.to_all[operation] = "kick"

    def record(self) -> None:
        self.world.record(self._room())

    def record_session(self) -> None:
        self.world.record_session(self._session(), self.random.randint(1, 2))

    def control(self) -> None:
        if self.recordings:
            recording = self.random.choice(sorted(self.recordings))
            self.world.control(recording, self.random.choice(["pause", "resume", "stop"]), command_uid="c")

    def play(self) -> None:
        urls = URLS[: self.random.randint(1, 3)]
        self.world.play(self._room(), *urls, operation=f"op{next(self.numbers)}")

    def pause(self) -> None:
        self.world.ask("pause", room_id=self._room())

    def stop(self) -> None:
        self.world.ask("stop", room_id=self._room())

    def volume(self) -> None:
        self.world.ask("volume", room_id=self._room(), volume=self.random.randint(-50, 7))

    def _room(self) -> str:
        """Rather a late one: those that were deleted are asked for, too, but not most of the time."""
        return self.random.choice(self.rooms[-4:])

    def _session(self) -> str:
        return self.random.choice([*self.calls, *self.dials] or ["acW68-nobody"])

    # The node

    def call(self) -> None:
        number = next(self.numbers)
        self.calls[self.world.park(number)] = number

    def hang_up(self) -> None:
        session = self._session()
        if self._gone(session):
            self._out(session)
            self._end_recordings_of(session, hung_up=True)
            self.world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")

    def press(self) -> None:
        """Its event may be handed over twice."""
        session, digit, number = self._session(), self.random.choice("0123456789*#"), next(self.numbers)
        for _ in range(self.random.randint(1, 2)):
            pressed = {"digit": digit, "duration_ms": 100, "number": number, "url_base": "base"}
            self.world.tell("digit_pressed", session_id=session, **pressed)
        if session in self.calls:
            self.pressed[session].append(digit)
            if session in self.collecting and digit != "#":
                self.collecting[session][1] += digit

    def ring(self) -> None:
        for session in self.dialled:
            self.world.tell("session_ringing", session_id=session)

    def answer(self) -> None:
        """Or not."""
        for session, number in list(self.dialled.items()):
            del self.dialled[session]
            if self.random.choice([True, False]):
                self.calls[session] = number
                self.world.tell("session_answered", session_id=session)
            else:
                self.world.tell("session_ended", session_id=session, cause="USER_BUSY")

    def number_answers(self) -> None:
        """Or not. A call whose transfer was given up meanwhile is hung up."""
        for session, leg in list(self.called.items()):
            del self.called[session]
            if self.random.choice([True, False]):
                self.world.tell("transfer_over", session_id=session, leg=leg, cause="USER_BUSY")
            elif "stray" in self.world.tell("session_transferred", session_id=session, leg=leg):
                self._gone(session)
                self.world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
            else:
                self.connected[session] = leg

    def hang_up_unseen(self) -> None:
        """del-member was lost."""
        session = self._session()
        if self._gone(session):
            room, _ = self.there.pop(session, ("", 0))
            self.unheard_by.pop(session, None)
            self.heard.pop(session, None)
            self._emptied(room)
            self.recorded = {each: what for each, what in self.recorded.items() if what != session}
            self.world.tell("session_ended", session_id=session, cause="UNKNOWN")

    def work(self) -> None:
        """The node does all that it is asked, in order."""
        self.waiting += self.world.sent(in_parts=lambda: self.random.random() < 0.5)
        while self.waiting:
            self._carry_out(self.waiting.pop(0))

    def take(self) -> None:
        self.waiting += self.world.sent(in_parts=lambda: self.random.random() < 0.5)

    def carry_out(self) -> None:
        """The node gets to a command. It keeps the order of a member's changes, and not always that of others."""
        if self.waiting:
            command = self.random.choice(self.waiting)
            changes = (*CHANGES, *OF_LEVELS, "relate")
            if command["op"] in changes:
                session = command["session"]
                command = next(one for one in self.waiting if one["op"] in changes and one["session"] == session)
            self.waiting.remove(command)
            self._carry_out(command)

    def refuse(self) -> None:
        if self.waiting:
            command = self.waiting.pop()
            is_play = command["op"] in ("play", "session_play")
            self.world.answer(command["job"], **(UNPLAYABLE if is_play else REFUSED))

    def lose(self) -> None:
        """A command that never reaches the node."""
        if self.waiting:
            self.waiting.pop()

    def recording_breaks(self) -> None:
        """The node's disk is full."""
        if self.recorded:
            self._end_recording(self.random.choice(sorted(self.recorded)))

    def file_done(self) -> None:
        rooms = [room for room, queue in self.queues.items() if queue]
        if rooms:
            room = self.random.choice(rooms)
            operation, index, _ = self.queues[room].pop(0)
            played = self.random.choice([{}, {"samples": 16000}, {"samples": 20000}])
            self.world.tell("file_done", room_id=room, operation_id=operation, index=index, **played)

    def session_file_done(self) -> None:
        if self.heard:
            session = self.random.choice(sorted(self.heard))
            self._heard(session, self.random.choice([None, None, "unplayable", "relay_lost"]))

    def _heard(self, session: str, reason: str | None = None) -> None:
        operation, index = self.heard[session].pop(0)
        if not self.heard[session]:
            del self.heard[session]
        done = {"operation_id": operation, "index": index, "reason": reason}
        self.world.tell("session_file_done", session_id=session, **done)

    def rest_begins(self) -> None:
        for room, queue in self.queues.items():
            if queue and queue[0][2].startswith("!"):
                self.world.tell("rest_began", room_id=room, operation_id=queue[0][0], index=queue[0][1])

    def speak(self) -> None:
        """Of a room on the node: some of its members."""
        rooms = {room for room, _ in self.there.values()}
        if rooms:
            room = self.random.choice(sorted(rooms))
            inside = [session for session, (where, _) in self.there.items() if where == room]
            speaking = self.random.sample(inside, self.random.randint(0, len(inside)))
            self.world.tell("speakers_changed", room_id=room, sessions=speaking, ttl=3_600_000)

    def time_passes(self) -> None:
        """Whatever is open is overdue; what the node has not got to by then it never does."""
        self.waiting.clear()
        self.world.overdue()
        self.world.overdue()

    def reconnect(self) -> None:
        """The link was cut and is back: node and store are compared as the worker does."""
        self.waiting.clear()
        waiting = self._waiting_dials()
        for session in [one for one in self.dials if one not in {*self.dialled, *self.calls, *waiting}]:
            self.world.tell("session_ended", session_id=session, cause="UNKNOWN", resynced=True)
        for session in self.calls:
            stored = self.world.session(session)
            there = self.there.get(session)
            if stored["room_id"] and stored["member_id"] and (stored["room_id"], stored["member_id"]) != there:
                self.world.tell(
                    "member_left",
                    session_id=session,
                    room_id=stored["room_id"],
                    member_id=stored["member_id"],
                    resynced=True,
                )
            if there and (stored["room_id"], stored["member_id"]) != there:
                self._say_joined(session, resynced=True)
            elif there:
                for flag in self._known(session):
                    if stored[flag.name] != self.flags[session][flag.name]:
                        self._say_changed(session, flag, resynced=True)
            self._compare_levels(session)
        self._compare_transfers()
        for room in {key.decode().rpartition("room:")[2] for key in self.store.client.keys("*}:room:*")}:
            queue = self.queues[room]
            playing = queue[0][2] if queue else None
            answer = self.world.tell("playback_lost", room_id=room, playing=playing, resynced=True)
            if answer.get("interrupted"):
                queue.clear()
        self._compare_plays()
        self._compare_coaches()
        self._compare_recordings()
        while self.world.tell("jobs_lost", resynced=True)["more"]:
            pass
        # Conferences whose room was deleted are emptied: the command that would have done it may be lost.
        for session, (room, _) in list(self.there.items()):
            if not self.store.is_known("room", room):
                self._out(session)

    def _compare_transfers(self) -> None:
        for row in self._rows():
            session, leg = row["id"], row.get("transfer")
            if leg and self.connected.get(session) == leg:
                self.world.tell("session_transferred", session_id=session, leg=leg, resynced=True)
            elif leg and session in self.calls and self.called.get(session) != leg:
                self.world.tell("transfer_over", session_id=session, leg=leg, cause="UNKNOWN", resynced=True)

    def _compare_plays(self) -> None:
        for row in self._rows():
            played = row.get("played")
            if played and (played["operation"], played["index"]) not in self.heard.get(row["id"], ()):
                lost = {"operation_id": played["operation"], "index": played["index"], "resynced": True}
                self.world.tell("session_play_lost", session_id=row["id"], **lost)

    def _compare_coaches(self) -> None:
        for lost in compare_relations(self._rows(), [], self._related):
            self.world.tell("relations_lost", session_id=lost.session_id)

    def _related(self, room: str, member_id: int) -> set[int]:
        found = [session for session, there in self.there.items() if there == (room, member_id)]
        return set(self.unheard_by[found[0]]) if found else set()

    def _known(self, session: str) -> tuple[Flag, ...]:
        """The flags of which the store says what they are on the node."""
        is_kept_out = self.store.client.hexists(keys.key(self.world.tag, "session", session), "kept_out")
        return (rows.HOLD,) if is_kept_out else FLAGS

    def _compare_recordings(self) -> None:
        for row in self._snapshot("recordings"):
            recording, goes_on = row["id"], row["id"] in self.recorded
            if goes_on and row["state"] == "starting":
                self.world.tell("recording_started", recording_id=recording, resynced=True)
            elif not goes_on and row["state"] in ("recording", "paused", "stopping"):
                self.world.tell("recording_ended", recording_id=recording, resynced=True)

    def _compare_levels(self, session: str) -> None:
        """Behind the rest: a join says nothing of them."""
        stored = self.world.session(session)
        for level in OF_LEVELS if session in self.there else ():
            if stored[level] != self.levels[session][level]:
                self._say_level(session, level, resynced=True)

    # What the node does with a command

    def _carry_out(self, command: dict[str, Any]) -> None:
        if command["op"] in CHANGES:
            done = self._change(command, *CHANGES[command["op"]])
        elif command["op"] in OF_LEVELS:
            done = self._set_level(command)
        else:
            done = getattr(self, "_" + command["op"], lambda _: {"ok": True})(command)
        self.world.answer(command["job"], **done)

    def _join(self, command: dict[str, Any]) -> dict[str, Any]:
        session = command["session"]
        if session not in self.calls:
            return {"ok": False, "reason": "hangup"}
        self._out(session)
        for legs in (self.called, self.connected):
            legs.pop(session, None)
        self.heard.pop(session, None)
        self.there[session] = (command["room"], self.calls[session])
        joins = command["flags"].split()
        self.flags[session] = {flag.name: flag.on.command in joins for flag in FLAGS}
        self.levels[session] = dict.fromkeys(OF_LEVELS, 0)
        self._say_joined(session)
        return {"ok": True}

    def _rows(self) -> list[dict[str, Any]]:
        """The sessions, as the worker reads them."""
        return self._snapshot("sessions")

    def _snapshot(self, what: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor = "0"
        while True:
            part = self.world.tell("snapshot", what=what, cursor=cursor)
            rows, cursor = [*rows, *part["rows"]], part["cursor"]
            if cursor == "0":
                return rows

    def _waiting_dials(self) -> set[str]:
        """The sessions of which the node has not been told."""
        return {row["id"] for row in self._rows() if row.get("is_waiting")}

    def _gone(self, session: str) -> int | None:
        """A call is there no more. Returns its number, if it was there."""
        for legs in (self.called, self.connected):
            legs.pop(session, None)
        return self.calls.pop(session, None)

    def _transfer(self, command: dict[str, Any]) -> dict[str, Any]:
        session = command["session"]
        if session not in self.calls:
            return {"ok": False, "reason": "hangup"}
        self._out(session)
        self.heard.pop(session, None)
        self.connected.pop(session, None)
        self.called[session] = command["leg"]
        return {"ok": True}

    def _end_transfer(self, command: dict[str, Any]) -> dict[str, Any]:
        session, leg = command["session"], command["leg"]
        if self.called.get(session) != leg:
            return {"ok": False, "reason": "hangup"}
        del self.called[session]
        self.world.tell("transfer_over", session_id=session, leg=leg, cause="NO_ANSWER")
        return {"ok": True}

    def _dial(self, command: dict[str, Any]) -> dict[str, Any]:
        session = command["session"]
        self.dialled[session] = self.dial_numbers[session]
        return {"ok": True}

    def _hang_up(self, command: dict[str, Any]) -> dict[str, Any]:
        session = command["session"]
        if self.dialled.pop(session, None):
            self.world.tell("session_ended", session_id=session, cause=command["cause"])
            return {"ok": True}
        if not self._gone(session):
            return {"ok": False, "reason": "hangup"}
        self._out(session)
        self.heard.pop(session, None)
        self._end_recordings_of(session, hung_up=True)
        self.world.tell("session_ended", session_id=session, cause=command["cause"])
        return {"ok": True}

    def _dtmf(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True} if command["session"] in self.calls else {"ok": False, "reason": "hangup"}

    def _kick(self, command: dict[str, Any]) -> dict[str, Any]:
        if self.there.get(command["session"]) != (command["room"], command["member_id"]):
            return {"ok": False, "reason": "no_member"}
        self._out(command["session"])
        return {"ok": True}

    def _kick_all(self, command: dict[str, Any]) -> dict[str, Any]:
        for session in [session for session, (room, _) in self.there.items() if room == command["room"]]:
            self._out(session)
        return {"ok": True}

    def _change(self, command: dict[str, Any], flag: Flag, on: bool) -> dict[str, Any]:
        session = command["session"]
        if self.there.get(session) != (command["room"], command["member_id"]):
            return {"ok": False, "reason": "no_member"}
        self.flags[session][flag.name] = on
        self._say_changed(session, flag)
        return {"ok": True}

    def _relate(self, command: dict[str, Any]) -> dict[str, Any]:
        session, others = command["session"], set(command["others"])
        if self.there.get(session) != (command["room"], command["member_id"]):
            return {"ok": False, "reason": "no_member"}
        if command["how"] == "nospeak":
            inside = {member_id for room, member_id in self.there.values() if room == command["room"]}
            self.unheard_by[session] |= others & inside
        else:
            self.unheard_by[session] -= self.unheard_by[session] if others == {0} else others
        return {"ok": True}

    def _set_level(self, command: dict[str, Any]) -> dict[str, Any]:
        session, level = command["session"], command["op"]
        if self.there.get(session) != (command["room"], command["member_id"]):
            return {"ok": False, "reason": "no_member"}
        self.levels[session][level] = command["value"]
        self._say_level(session, level)
        return {"ok": True}

    def _play(self, command: dict[str, Any]) -> dict[str, Any]:
        if not any(room == command["room"] for room, _ in self.there.values()):
            return {"ok": False, "reason": "no_members"}
        url, (rest, _, _) = command["url"], command.get("rest_url", "").partition("#")
        name = f"!{url}!{rest}" if rest else url.removeprefix("http://")
        self.queues[command["room"]].append((command["operation"], command["index"], name))
        return {"ok": True}

    def _session_play(self, command: dict[str, Any]) -> dict[str, Any]:
        """To a parked call it may come late, when that is a member: it hears it all the same."""
        session = command["session"]
        if session not in self.calls:
            return {"ok": False, "reason": "hangup"}
        if "member_id" in command and self.there.get(session) != (command["room"], command["member_id"]):
            return {"ok": False, "reason": "no_member"}
        # Behind what a stop should have ended that was lost, again and again.
        self.heard.setdefault(session, []).append((command["operation"], command["index"]))
        return {"ok": True}

    def _session_stop(self, command: dict[str, Any]) -> dict[str, Any]:
        if "member_id" not in command and self.random.random() < 0.3:
            return {"ok": True}  # it was about to begin
        while command["session"] in self.heard:
            self._heard(command["session"])
        return {"ok": True}

    def _stop(self, command: dict[str, Any]) -> dict[str, Any]:
        self.queues[command["room"]].clear()
        return {"ok": True}

    def _record(self, command: dict[str, Any]) -> dict[str, Any]:
        recording, session = command["recording"], command.get("session")
        if session and session not in self.calls:
            return {"ok": False, "reason": "hangup"}
        if not session and not any(room == command["room"] for room, _ in self.there.values()):
            return {"ok": False, "reason": "no_members"}
        self.recorded[recording] = session or command["room"]
        self.files.add(recording)
        self.world.tell("recording_started", recording_id=recording)
        return {"ok": True}

    def _pause_recording(self, command: dict[str, Any]) -> dict[str, Any]:
        done = {"pause_recording": "paused", "resume_recording": "resumed"}[command["op"]]
        if command["recording"] not in self.recorded:
            return {"ok": False, "reason": "no_recording"}
        if "room" in command:
            self.world.tell("recording_changed", recording_id=command["recording"], done=done)
        return {"ok": True}

    _resume_recording = _pause_recording

    def _stop_recording(self, command: dict[str, Any]) -> dict[str, Any]:
        if command["recording"] not in self.recorded:
            return {"ok": False, "reason": "no_recording"}
        self._end_recording(command["recording"])
        return {"ok": True}

    def _store(self, command: dict[str, Any]) -> dict[str, Any]:
        recording = command["recording"]
        if recording not in self.files or recording in self.recorded or self.random.random() < 0.3:
            return REFUSED
        self.world.tell(
            "recording_stored", recording_id=recording, holder="relay-1", size=1044, length_ms=62, keep_ms=3_600_000
        )
        return {"ok": True}

    def _find_file(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True} if command["recording"] in self.files else {"ok": False, "reason": "no_file"}

    def _remove_file(self, command: dict[str, Any]) -> dict[str, Any]:
        self.files.discard(command["recording"])
        return REFUSED

    def _end_recording(self, recording: str, **more: Any) -> None:
        del self.recorded[recording]
        self.world.tell("recording_ended", recording_id=recording, length_ms=60, size=1000, **more)

    def _end_recordings_of(self, subject: str, **more: Any) -> None:
        for recording in [each for each, what in self.recorded.items() if what == subject]:
            self._end_recording(recording, **more)

    def _out(self, session: str) -> None:
        if session in self.there:
            room, member_id = self.there.pop(session)
            self.heard.pop(session, None)
            self.unheard_by.pop(session, None)
            self.world.left(session, room, member_id)
            self._emptied(room)
            if not any(other == room for other, _ in self.there.values()):
                self._end_recordings_of(room)

    def _emptied(self, room: str) -> None:
        if not any(other == room for other, _ in self.there.values()):
            self.queues[room].clear()

    def _say_joined(self, session: str, **more: Any) -> None:
        room, member_id = self.there[session]
        flags = [name for name, on in self.flags[session].items() if on]
        self.world.tell("member_joined", session_id=session, room_id=room, member_id=member_id, flags=flags, **more)

    def _say_changed(self, session: str, flag: Flag, **more: Any) -> None:
        room, member_id = self.there[session]
        self.world.tell(
            "flag_changed",
            session_id=session,
            room_id=room,
            member_id=member_id,
            flag=flag.name,
            on=self.flags[session][flag.name],
            **more,
        )

    def _say_level(self, session: str, level: str, **more: Any) -> None:
        room, member_id = self.there[session]
        member = {"session_id": session, "room_id": room, "member_id": member_id}
        self.world.tell("level_changed", **member, level=level, value=self.levels[session][level], **more)

    # What must hold at any time

    def tenants_were_told_what_is(self) -> None:
        latest = self.world.webhooks()
        self.history += latest
        for kind, data in latest:
            self.commands_to_calls_end_once(kind, data)
        members: dict[str, dict[str, dict[str, Any]]] = {}
        sequences: dict[str, list[int]] = defaultdict(list)
        destroyed: set[str] = set()
        # By room, in the order in which they were started.
        operations: dict[str, list[str]] = defaultdict(list)
        for kind, data in self.history:
            of = data.get("room_id") or data["uuid"]
            sequences[data["recording_id"] if "recording" in kind else of].append(data["sequence"])
            room = data.get("room_id", "")
            if kind == "conference.created":
                members[room] = {}
            elif kind == "conference.updated":
                assert room not in destroyed
            elif kind == "conference.destroyed":
                assert room not in destroyed
                assert data["reason"] != "empty" or not members[room]
                destroyed.add(room)
            elif kind in ("conference.member.joined", "conference.speaker.changed", *CHANGED):
                assert (data["uuid"] in members[room]) == (kind != "conference.member.joined")
                assert kind != "conference.member.joined" or room not in destroyed
                told = {name: data[name] for name in (*(flag.name for flag in FLAGS), *OF_LEVELS, *DESCRIBED)}
                members[room][data["uuid"]] = {name: value for name, value in told.items() if value != []}
            elif kind == "conference.member.left":
                members[room].pop(data["uuid"])
                assert data["reason"] != "room_destroyed" or room in destroyed
                assert (data.get("kicked_by") == "app") == ("kick_reason" in data)
            elif kind == "conference.play.started":
                operations[room].append(data["operation_id"])
            elif kind in ENDS and data["operation_id"]:
                # Once, and not before it started.
                operations[room].remove(data["operation_id"])
        assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in sequences.values())
        for room, told in members.items():
            waiting = self.store.client.lrange(keys.key(self.world.tag, "operations", room), 0, -1)
            assert [operation.decode() for operation in waiting] == operations[room]
            stored = self.store.client.zrange(keys.key(self.world.tag, "members", room), 0, -1)
            assert {session.decode() for session in stored} == set(told)
            for session, flags in told.items():
                assert flags.items() <= self.world.session(session).items()
        self.recordings_take_their_steps()
        self.what_is_recorded_is_named()
        self.changes_have_ended_in_order()
        self.rooms_are_listed_by_their_tags()
        self.rooms_end_with_who_keeps_them()
        self.usage_is_counted()

    def rooms_end_with_who_keeps_them(self) -> None:
        keeping: dict[str, str | None] = defaultdict(lambda: None)
        # By room: the members, those who leave, the one who has left last.
        inside: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        left: dict[str, dict[str, Any]] = {}
        for kind, data in self.history:
            room = data.get("room_id", "")
            if kind == "conference.updated":
                keeping[room] = data["end_on_exit"]
            elif kind in ("conference.member.joined", "conference.member.updated"):
                inside[room][data["uuid"]] = data
            elif kind == "conference.member.left":
                left[room] = inside[room].pop(data["uuid"])
            elif kind == "conference.destroyed" and data["reason"] == "end_on_exit":
                keepers = [one["end_on_exit"] or one["role"] == keeping[room] for one in inside[room].values()]
                assert not any(keepers)
                assert left[room]["end_on_exit"] or left[room]["role"] == keeping[room]

    def recordings_take_their_steps(self) -> None:
        listed = self.store.client.zrange(keys.key(self.world.tag, "recordings", self.world.app_id), 0, -1)
        self.recordings |= {recording.decode() for recording in listed}
        told: dict[str, list[str]] = defaultdict(list)
        for kind, data in self.history:
            if "recording." in kind:
                told[data["recording_id"]].append(kind.rpartition(".")[2])
        for recording, steps in told.items():
            assert re.fullmatch(RECORDED, " ".join(steps)), steps
            stored = self.world.recording(recording)["state"]
            assert (stored in ("available", "failed")) == (steps[-1] in ("available", "failed"))
            assert stored not in ("recording", "paused") or stored == STATES[steps[-1]]

    def what_is_recorded_is_named(self) -> None:
        shown = {}
        for row in self.world.ask("list_rooms", limit=1000, after=0)["rows"]:
            shown[row["room_id"]] = row["recording"]
        for row in self.world.ask("list_sessions", limit=1000, after=0)["rows"]:
            shown[row["session_id"]] = row["recording"]
        going_on = dict.fromkeys(shown)
        for recording in self.recordings:
            stored = self.world.recording(recording)
            of = stored.get("session") or stored.get("room")
            if of in shown and stored["state"] in RUNNING:
                going_on[of] = {"recording_id": recording, "state": stored["state"]}
        assert shown == going_on

    def rooms_are_listed_by_their_tags(self) -> None:
        rows = self.world.ask("list_rooms", limit=1000, after=0)["rows"]
        for tag in ("one", "two"):
            found = self.world.ask("list_rooms", limit=1000, after=0, tag=tag)["rows"]
            assert found == [row for row in rows if tag in row.get("tags", ())]

    def commands_to_calls_end_once(self, kind: str, data: dict[str, Any]) -> None:
        hung_up = kind == "session.ended" or (kind, data.get("command")) == ("session.command.failed", "hang_up")
        if kind in ("session.answered", "session.failed"):
            assert data.get("command_uid") == self.dials.pop(data["uuid"])
        if kind == "session.failed":
            assert data.get("cancelled_by") == self.hang_ups.pop(data["uuid"], None)
            assert (data["cause"] == "cancelled") == ("cancelled_by" in data)
        elif kind in ("session.transferred", "session.transfer_failed"):
            assert data.get("command_uid") == self.transfers.pop(data["uuid"], None)
        elif kind in ("session.play.finished", "session.play.stopped"):
            uid = self.plays.pop(data["operation_id"]) if data["operation_id"] else ""
            assert kind == "session.play.stopped" or data["command_uid"] == uid
        elif kind == "session.digits.collected":
            uid, digits = self.collecting.pop(data["uuid"])
            assert (data["command_uid"], data["digits"]) == (uid, digits)
            assert data["reason"] != "max_digits" or len(digits) == 3
            assert (data["reason"] == "terminator") == ("terminator" in data)
        elif kind == "session.dtmf.sent" or (kind, data.get("command")) == ("session.command.failed", "dtmf"):
            assert data["command_uid"] == self.dtmf.pop(data["uuid"])
        elif hung_up:
            # Also when the caller was faster, and None if nobody asked for it.
            assert data.get("command_uid") == self.hang_ups.pop(data["uuid"], None)
            assert kind != "session.ended" or data["uuid"] not in {*self.dtmf, *self.collecting}

    def changes_have_ended_in_order(self) -> None:
        """Once each at most, and those that the node confirmed in the order in which they were accepted; those to coach
        by themselves, since many commands to the node may be what confirms one.
        """
        confirmed: dict[tuple[str, bool], list[str]] = defaultdict(list)
        for session, uid, kind, data in self.ended_changes():
            command = self.accepted[session][uid]
            if kind == "conference.command.failed":
                assert data["command"] == command
            else:
                assert kind == WEBHOOKS[command]
                confirmed[session, command in COACHING].append(uid)
        for (session, _), uids in confirmed.items():
            assert uids == [uid for uid in self.accepted[session] if uid in uids]

    def ended_changes(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        """-> session, command_uid, type of the webhook, its data."""
        return [
            (data["uuid"], data["command_uid"], kind, data)
            for kind, data in self.history
            if "command_uid" in data
            and data["command_uid"] not in self.to_all
            and not kind.startswith(OTHERS)
            and "recording_id" not in data
        ]

    def is_heard_by_whom_it_should_be(self, session: str, coached: str | None) -> None:
        room = self.there.get(session, ("", 0))[0]
        others = {
            number for one, (where, number) in self.there.items() if where == room and one not in (session, coached)
        }
        inside = {number for where, number in self.there.values() if where == room}
        assert self.unheard_by[session] & inside == (others if coached else set())

    def commands_to_all_have_ended(self) -> None:
        """Once each, behind the outcome of each member."""
        outcomes: dict[str, list[bool]] = defaultdict(list)
        finished = []
        for kind, data in self.history:
            if data.get("command_uid") in self.to_all:
                assert data["command_uid"] not in finished
                outcomes[data["command_uid"]].append(kind != "conference.command.failed")
            elif kind == "conference.command.finished":
                operation = data["operation_id"]
                finished.append(operation)
                assert data["command"] == self.to_all[operation]
                counts = (outcomes[operation].count(True), outcomes[operation].count(False))
                assert (data["changed"], data["failed"]) == counts
        assert sorted(finished) == sorted(self.to_all)

    def usage_is_counted(self) -> None:
        kept = map(self.world.recording, self.recordings)
        usage = self.store.client.hgetall(keys.key(self.world.tag, "usage", self.world.app_id))
        urls = self.store.client.keys("*}:urls:*")
        outbox = self.store.client.xrange(keys.key(self.world.tag, "outbox"))
        # The rests of files among them are numbers.
        sent = [[url for url in self.store.client.lrange(key, 0, -1) if not url.isdigit()] for key in urls]
        assert {name.decode(): int(value) for name, value in usage.items() if int(value)} == {
            name: value
            for name, value in {
                "operations": len(urls),
                "url_bytes": sum(len(b",".join(each)) for each in sent),
                "webhook_bytes": sum(len(fields[b"data"]) + WEBHOOK_BYTES for _, fields in outbox),
                "recording_bytes": sum(int(each["size"]) for each in kept if "holder" in each),
            }.items()
            if value
        }

    def recordings_are_over(self) -> None:
        """But for those that go on: each is available, or has failed. Files are on the node while they are awaited."""
        for _ in range(30):
            self.world.overdue(kind="recording")
            self.world.overdue(kind="removal")
            self.work()
        self.tenants_were_told_what_is()
        states = {recording: self.world.recording(recording)["state"] for recording in self.recordings}
        assert {each for each, state in states.items() if state in ("recording", "paused")} == set(self.recorded)
        assert set(states.values()) <= {"recording", "paused", "available", "failed"}
        assert {each for each in self.files if states[each] == "available"} == set()
        subjects = [*self.calls, *self.rooms]
        going = {self.store.client.hget(self._key(each), "recording") for each in subjects} - {None}
        assert {each.decode() for each in going} == set(self.recorded)

    def _key(self, subject: str) -> str:
        return keys.key(self.world.tag, "room" if "-room-" in subject else "session", subject)

    def settle(self) -> None:
        """When all is answered or overdue, nothing hangs: the store is what the node is."""
        self.waiting.clear()
        self.reconnect()
        for _ in range(20):
            self.work()
            self.answer()
            self.number_answers()
            for room, queue in self.queues.items():
                while queue:
                    operation, index, _ = queue.pop(0)
                    self.world.tell("file_done", room_id=room, operation_id=operation, index=index)
            for session in list(self.heard):
                while session in self.heard:
                    self._heard(session)
            self.world.overdue(kind="let_in")
            self.world.overdue(kind="relate")
            self.world.overdue(kind="session_stop")
        self.tenants_were_told_what_is()
        assert not self.hang_ups
        assert not self.dtmf
        assert not self.transfers
        assert not self.plays
        assert not self.heard
        assert all(len(digits) < 3 for _, digits in self.collecting.values())
        self.world.overdue(kind="digits")
        self.tenants_were_told_what_is()
        assert not self.collecting
        assert not self.dials
        for session in self.calls:
            stored = self.world.session(session)
            room, member_id = self.there.get(session, ("", None))
            assert (stored["room_id"], stored["member_id"]) == (room, member_id), stored
            outside = "transferred" if session in self.connected else "parked"
            assert stored["state"] == ("joined" if room else outside)
            known = {flag.name: self.flags[session][flag.name] for flag in self._known(session)} if room else {}
            assert not room or (known | self.levels[session]).items() <= stored.items()
            is_kept_out = self.store.client.hexists(keys.key(self.world.tag, "session", session), "kept_out")
            assert not is_kept_out or stored["waiting"]
            self.is_heard_by_whom_it_should_be(session, stored["coaching"])
            # Who has come in is on hold by another command only.
            assert not stored["waiting"] or not self.world.room(room)["begun"]
        ended = [data["operation_id"] for kind, data in self.history if kind in ENDS and data["operation_id"]]
        started = [data["operation_id"] for kind, data in self.history if kind == "conference.play.started"]
        assert sorted(ended) == sorted(started)
        joined = {data.get("command_uid") for kind, data in self.history if kind == "conference.member.joined"}
        missed = self.joins - joined
        accepted = [(session, uid) for session, uids in self.accepted.items() for uid in uids if uid not in missed]
        assert sorted((session, uid) for session, uid, *_ in self.ended_changes()) == sorted(accepted)
        self.commands_to_all_have_ended()
        self.recordings_are_over()
        told: dict[str, list[str]] = defaultdict(list)
        for kind, data in self.history:
            if kind == "session.dtmf":
                told[data["uuid"]].append(data["digit"])
        assert told == self.pressed
        # Nothing is left of rooms that are gone.
        gone = {data["room_id"] for kind, data in self.history if kind == "conference.destroyed"}
        assert not [key for room in gone for key in self.store.client.keys(f"*{room}*")]
        assert not self.store.client.hgetall(keys.key(self.world.tag, "sent", NODE))
        assert not self.store.client.keys("*}:unrelated:*")


# How often each step is taken, beside the others.
STEPS = {
    "dial": 3, "ring": 1, "answer": 3, "transfer": 2, "number_answers": 2, "change": 2, "create": 1, "delete": 1, "join": 6, "leave": 2, "kick": 1, "end_call": 1, "send_dtmf": 2, "set_flag": 4, "set_level": 2, "coach": 3, "uncoach": 1, "change_member": 2, "flag_of_all": 2, "kick_all": 1, "play": 4, "pause": 1, "stop": 1,
    "volume": 1,
    "play_to": 5, "stop_session_play": 1, "session_file_done": 4,
    "call": 3, "press": 4, "collect": 2, "hang_up": 1, "hang_up_unseen": 1, "work": 12, "take": 3, "carry_out": 4, "refuse": 1, "lose": 1,
    "record": 2, "record_session": 2, "control": 4, "recording_breaks": 1,
    "file_done": 5, "rest_begins": 2, "speak": 3, "time_passes": 1, "reconnect": 1,
}  # fmt: skip


@pytest.mark.hypothesis
@pytest.mark.timeout(300)
def test_whatever_happens(store: OpenStore) -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 2**32))
    def run(seed: int) -> None:
        machine = Machine(store, Random(seed))
        for step in [
            "create",
            "create",
            "call",
            "call",
            "call",
            *machine.random.choices(list(STEPS), list(STEPS.values()), k=80),
        ]:
            getattr(machine, step)()
            machine.tenants_were_told_what_is()
        machine.settle()

    run()
