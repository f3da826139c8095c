"""A node's own lists, compared with what the store has of the node. Pure: texts and rows in, a plan out."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import orjson

from controller.ids import ROOM_ID, SessionIds
from controller.nodes.events import (
    ASKED_FOR_ANOTHER_CALL,
    DIALLED_BY_NOBODY,
    IN_ANOTHER_CONFERENCE,
    JOINED_UNASKED,
    UNKNOWN_CAUSE,
    CallIntruded,
    FlagChanged,
    LegEvent,
    LegJoined,
    LegLeft,
    LevelChanged,
    MemberJoined,
    MemberLeft,
    RecordingChanged,
    RecordingEnded,
    RecordingEvent,
    RecordingStarted,
    RelationsLost,
    SessionAnswered,
    SessionEnded,
    SessionEvent,
    SessionFound,
    SessionPlayLost,
    SessionTransferred,
    TransferOver,
)
from controller.nodes.translate import MAX_TEXT_LENGTH, recording_of
from controller.sessions.flags import FLAGS, HOLD, Flag
from controller.sessions.levels import LEVELS
from controller.store.states import PlaybackState, RecordingState, SessionState, UrlState
from esl.commands import DIALLED, LEG_NAME, TRANSFERRED, parse_file

# The applications that a session's call runs, by `show channels`, and those that it runs before.
SESSION_APPLICATIONS = frozenset({"park", "conference"})
EARLIER_APPLICATIONS = frozenset({"", "answer"})
# Those that it runs when it is transferred to a number.
TRANSFER_APPLICATIONS = frozenset({"set", "bridge"})
# In a list of a node. Each member and each call has some 40, and no node has so many.
MAX_VALUES = 1 << 20
_STRING = re.compile(r'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)


@dataclass(frozen=True, slots=True)
class MemberOnNode:
    """`flags`: the names of those that are on. On hold the member can neither hear nor be heard, and what the node says
    of its other flags means nothing. `levels`: in the order of LEVELS.
    """

    room_id: str
    member_id: int
    flags: tuple[str, ...]
    is_talking: bool = field(default=False, compare=False)
    levels: tuple[int, ...] = (0,) * len(LEVELS)

    @property
    def known(self) -> tuple[Flag, ...]:
        """The flags of which it is known whether they are on."""
        return (HOLD,) if HOLD.name in self.flags else FLAGS


@dataclass(frozen=True, slots=True)
class Call:
    """An inbound call. `replaces`: it asked for another call by its INVITE, so it never was in the node's dialplan."""

    did: str
    caller_id: str
    address: str = ""
    application: str = "park"
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class PlaybackDrift:
    """Node and store differ about a file: by the store it is only sent, and it plays, or it is queued, and it does not
    play. With no `operation_id`: something plays where nothing should."""

    room_id: str
    operation_id: str
    index: int
    state: str


@dataclass(slots=True)
class Plan:
    """What is to be done about the differences.

    `events`: applied to the store, they make it what the node is. `intruders`: calls to hang up at once.
    `possible_intruders`: to hang up if they are found again, since a call may be on its way. `stray_legs`: to hang up
    at once; the room may have another leg, and two between the same nodes are a loop of sound. `orphans`: conferences
    to empty, as there is no such room. `stray_recordings`: conference and path of each that goes on, and should not.
    """

    events: list[SessionEvent | LegEvent | RecordingEvent] = field(default_factory=list)
    intruders: list[CallIntruded] = field(default_factory=list)
    possible_intruders: list[CallIntruded] = field(default_factory=list)
    stray_legs: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    stray_recordings: list[tuple[str, str]] = field(default_factory=list)


# What the node says


def read_list(text: str) -> Any:
    """A list in JSON, for what follows. Raises ValueError, also for one that would keep all else in this process
    waiting.
    """
    # What callers are called does not count.
    if _values(text) > MAX_VALUES and _values(_STRING.sub("", text)) > MAX_VALUES:
        raise ValueError("a list without end")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # A node does not escape all that is in a name.
        return json.loads(text, strict=False)


def _values(text: str) -> int:
    """How many values there are in JSON without strings, or less."""
    return sum(map(text.count, "[{,"))


def read_members(conferences: Any) -> dict[str, MemberOnNode]:
    """`conference json_list` as members, by channel. Shape: trace 09."""
    return {
        member["uuid"]: MemberOnNode(
            room_id,
            int(member["id"]),
            tuple(flag.name for flag in FLAGS if member["flags"][flag.ability] == flag.said),
            is_talking=member["flags"].get("talking", False),
            levels=tuple(int(member.get(level.name, 0)) for level in LEVELS),
        )
        for conference in _list(conferences)
        if ROOM_ID.fullmatch(room_id := conference["conference_name"])
        for member in conference.get("members", [])
        if "uuid" in member
    }


def read_elsewhere(conferences: Any) -> set[str]:
    """`conference json_list` as the channels of the members of conferences that are no rooms."""
    return {
        member["uuid"]
        for conference in _list(conferences)
        if not ROOM_ID.fullmatch(conference["conference_name"])
        for member in conference.get("members", [])
        if "uuid" in member
    }


def read_calls(channels: Any) -> dict[str, Call]:
    """`show channels as json` as inbound calls without legs, by channel.

    The list lags behind (trace 09): a call may not be in it yet, or be in it still.
    """
    return {
        row["uuid"]: Call(
            did=row["initial_dest"][:MAX_TEXT_LENGTH],
            caller_id=row["cid_num"][:MAX_TEXT_LENGTH],
            address=row["ip_addr"][:MAX_TEXT_LENGTH],
            application=_application(row),
            # The controller puts calls into an inline dialplan only later.
            replaces=row["initial_dialplan"] == "inline",
        )
        for row in _rows(channels)
        if row["direction"] == "inbound" and not row["name"].startswith(LEG_NAME)
    }


def _application(row: dict[str, str]) -> str:
    """What a call runs. Of one that was played to, the list goes on to say so, while it is parked as before (34)."""
    is_played_to = row["application"] == "playback" and "operation_id" in parse_file(row["application_data"])[0]
    return "park" if is_played_to else row["application"]


def read_dialled(channels: Any) -> dict[str, str]:
    """`show channels as json` as calls that the node has made for apps, also to transfer others: what each runs, by
    channel. It lags behind, too.
    """
    return {
        row["uuid"]: _application(row)
        for row in _rows(channels)
        if row["direction"] == "outbound" and row.get("accountcode") in (DIALLED, TRANSFERRED)
    }


def read_answered(channels: Any) -> set[str]:
    """`show channels as json` as the channels of the calls that have been answered. It lags behind, too."""
    return {row["uuid"] for row in _rows(channels) if row.get("callstate") == "ACTIVE"}


def read_legs(channels: Any) -> set[str]:
    """`show channels as json` as the ids of the legs between nodes."""
    return {row["uuid"] for row in _rows(channels) if row["name"].startswith(LEG_NAME)}


_PAUSED = "paused"  # what `json_list` says of a recording that is (41)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a node records: in a conference, or "" for a call."""

    path: str
    room_id: str = ""
    paused: bool = False


def read_recordings(conferences: Any) -> dict[str, Recorded]:
    """`conference json_list` as the recordings in it, by their ids. Shape: trace 41."""
    return {
        recording_id: Recorded(path, conference["conference_name"], member.get("status") == _PAUSED)
        for conference in _list(conferences)
        for member in conference.get("members", [])
        if member.get("type") == "recording_node"
        and (recording_id := recording_of(path := member.get("record_path", "")))
    }


def read_taps(text: str) -> dict[str, Recorded]:
    """`uuid_buglist` as the recordings of a call, by their ids. Shape: trace 42."""
    paths = re.findall(r"<target>([^<]*)</target>", text)
    return {recording_id: Recorded(path) for path in paths if (recording_id := recording_of(path))}


def read_playing(text: str) -> str | None:
    """`conference ROOM play_status` as the URL that plays, without its scheme. Shape: trace 06.

    A fragment is not the URL's own: `esl.commands.Play` adds it.
    """
    found = re.match(r"\+OK \d+/\d+ ([^#\n]+)", text.strip())
    return found[1] if found else None


def read_relations(text: str, member_id: int) -> set[int]:
    """`conference ROOM relate MEMBER` as the ids of those who do not hear that member. Shape: trace 40."""
    return {int(other) for other in re.findall(rf"^{member_id} -> (\d+) NOSPEAK\b", text, re.MULTILINE)}


# Comparing


def compare(
    ids: SessionIds,
    sessions: Iterable[dict[str, Any]],
    rooms: Collection[dict[str, Any]],
    members: dict[str, MemberOnNode],
    calls: dict[str, Call],
    exists: Callable[[str], bool],
    restarted: bool = False,
    broken: Collection[str] = (),
    legs: Set[str] = frozenset(),
    dialled: Mapping[str, str] | None = None,
    answered: Set[str] = frozenset(),
    trusts_list: bool = False,
    elsewhere: Set[str] = frozenset(),
) -> Plan:
    """`sessions`, `rooms`: rows of snapshot.lua, read after the rest: a leg has its record before it is dialled.
    `members`, `calls`, `dialled`, `answered`: what the node says, by channel. `legs`: those that it has.
    `elsewhere`: the channels in conferences that are no rooms.

    `exists` asks the node whether a channel is still there. `restarted`: the node is another process than the one that
    the store knows, so calls that are gone were lost with the old one. `broken`: ids of sessions and rooms whose
    records cannot be read; on the node they are left as they are. `trusts_list`: what the node lists is there, and not
    asked for one by one. The list lags, so a call that is gone may be found only by a later comparison.
    """
    plan, dialled = Plan(), dialled or {}
    there = members.keys() | calls.keys() | dialled.keys()
    known = {channel for channel in there if ids.of(channel) in broken} if broken else set()
    transferred = set()
    for session in sessions:
        channel = session["channel"]
        known.add(channel)
        if session.get("is_waiting"):
            continue  # The node has not been told to call.
        member = members.get(channel)
        is_listed = trusts_list and (channel in calls or channel in dialled)
        if not (member or is_listed or exists(channel)):
            plan.events.append(SessionEnded(session_id=session["id"], cause=UNKNOWN_CAUSE, node_lost=restarted))
            continue
        if session.get("state") == SessionState.DIALING and (member or dialled.get(channel) in SESSION_APPLICATIONS):
            plan.events.append(SessionAnswered(session_id=session["id"], channel=channel))
        if channel in elsewhere and channel in dialled:
            plan.possible_intruders.append(
                CallIntruded(session_id=session["id"], reason=IN_ANOTHER_CONFERENCE, channel=channel)
            )
        plan.events.extend(_membership_events(session, member))
        if leg := session.get("transfer"):
            known.add(leg)
            transferred.add(channel)
            call = calls.get(channel)
            application = "conference" if member else call.application if call else dialled.get(channel, "")
            plan.events.extend(_transfer_events(session, application, leg in answered, exists))
    for leg in (leg for room in rooms for leg in room.get("legs", ())):
        known.add(leg["id"])
        plan.events.extend(_leg_events(leg, members.get(leg["id"])))
    _compare_calls(plan, ids, known, transferred, members, calls, exists, elsewhere)
    in_rooms = {leg for leg in legs if leg in members and members[leg].room_id not in broken}
    plan.stray_legs = sorted(in_rooms - known)
    for channel in sorted(dialled.keys() - known):
        if exists(channel):
            plan.possible_intruders.append(
                CallIntruded(session_id=ids.of(channel), reason=DIALLED_BY_NOBODY, channel=channel)
            )
    for channel in members.keys() - known - calls.keys() - legs - dialled.keys():
        room_id, member_id = members[channel].room_id, members[channel].member_id
        plan.possible_intruders.append(
            CallIntruded(session_id=ids.of(channel), reason=JOINED_UNASKED, room_id=room_id, member_id=member_id)
        )
    living = {*broken, *(room["id"] for room in rooms if not room["closing"])}
    plan.orphans = sorted({member.room_id for member in members.values()} - living)
    return plan


def _compare_calls(
    plan: Plan,
    ids: SessionIds,
    known: Set[str],
    transferred: Set[str],
    members: dict[str, MemberOnNode],
    calls: dict[str, Call],
    exists: Callable[[str], bool],
    elsewhere: Set[str],
) -> None:
    """Calls that have come in and are no sessions yet, or can be none."""
    for channel, call in calls.items():
        if call.replaces:
            if exists(channel):
                plan.intruders.append(_intruded(ids, channel, call, ASKED_FOR_ANOTHER_CALL))
        elif channel in elsewhere:
            if exists(channel):
                plan.possible_intruders.append(_intruded(ids, channel, call, IN_ANOTHER_CONFERENCE))
        elif call.application not in SESSION_APPLICATIONS:
            expected = TRANSFER_APPLICATIONS if channel in transferred else EARLIER_APPLICATIONS
            if call.application not in expected and exists(channel):
                plan.possible_intruders.append(_intruded(ids, channel, call, f"runs {call.application}"))
        elif channel not in known and (channel in members or exists(channel)):
            plan.events.append(_found(ids.of(channel), channel, call, members.get(channel)))


def _found(session_id: str, channel: str, call: Call, member: MemberOnNode | None) -> SessionFound:
    membership: dict[str, Any] = {}
    if member:
        membership = {"room_id": member.room_id, "member_id": member.member_id, "flags": _flags(member, {})}
    return SessionFound(session_id=session_id, channel=channel, did=call.did, caller_id=call.caller_id, **membership)


def _flags(member: MemberOnNode, asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of a member that are on. What is not known is as it was asked for."""
    known = member.known
    return tuple(flag.name for flag in FLAGS if (flag.name in member.flags if flag in known else asked.get(flag.name)))


# The states in which a node records.
_GOES_ON = (RecordingState.RECORDING, RecordingState.PAUSED, RecordingState.STOPPING)


def compare_recordings(
    plan: Plan, rows: Iterable[dict[str, Any]], found: Mapping[str, Recorded], restarted: bool = False
) -> None:
    """`rows`: recordings of snapshot.lua. `found`: what the node records. One that is `starting` is decided by its
    command, unless the node has restarted.
    """
    known: set[str] = set()
    for row in rows:
        recording_id, state = row["id"], row["state"]
        recorded = found.get(recording_id)
        if state in (*_GOES_ON, RecordingState.STARTING):
            known.add(recording_id)
        if recorded is None:
            if state in _GOES_ON or (restarted and state == RecordingState.STARTING):
                plan.events.append(RecordingEnded(recording_id=recording_id, node_lost=restarted))
        elif state == RecordingState.STARTING:
            plan.events.append(RecordingStarted(recording_id=recording_id))
        elif recorded.room_id and state != RecordingState.STOPPING:
            paused = state == RecordingState.PAUSED
            if state in _GOES_ON and recorded.paused != paused:
                plan.events.append(
                    RecordingChanged(recording_id=recording_id, done="paused" if recorded.paused else "resumed")
                )
    plan.stray_recordings = sorted(
        (recorded.room_id, recorded.path)
        for recording_id, recorded in found.items()
        if recorded.room_id and recording_id not in known
    )


def compare_playback(room: dict[str, Any], playing: str | None) -> PlaybackDrift | None:
    """`room`: its row of snapshot.lua, with the file that plays or is next as `head`. `playing`: see `read_playing`."""
    head = room.get("head")
    if not head:
        return PlaybackDrift(room["id"], "", 0, PlaybackState.STOPPED) if playing and not room["stopping"] else None
    plays = playing == re.sub(r"\A[A-Za-z_]+://", "", head["url"])
    if plays == (head["state"] == UrlState.QUEUED):
        return None
    return PlaybackDrift(room["id"], head["operation"], head["index"], head["state"])


def compare_played(
    sessions: Iterable[dict[str, Any]], plays: Callable[[dict[str, Any]], bool]
) -> list[SessionPlayLost]:
    """`sessions`: rows of snapshot.lua. `plays`: asks the node whether it plays a file to that session."""
    return [
        SessionPlayLost(session_id=session["id"], operation_id=played["operation"], index=played["index"])
        for session in sessions
        if (played := session.get("played")) and not plays(session)
    ]


def compare_relations(
    sessions: Collection[dict[str, Any]],
    rooms: Iterable[dict[str, Any]],
    related: Callable[[str, int], set[int]],
) -> list[RelationsLost]:
    """`sessions`, `rooms`: rows of snapshot.lua. `related`: asks the node who in a room does not hear that member."""
    coaches = [session for session in sessions if session.get("coaches") and session.get("member_id") is not None]
    if not coaches:
        return []
    others: dict[str, dict[str, int]] = defaultdict(dict)
    for session in sessions:
        if session.get("room") and session.get("member_id") is not None:
            others[session["room"]][session["id"]] = session["member_id"]
    for leg in (leg for room in rooms for leg in room.get("legs", ())):
        if leg.get("member_id") is not None:
            others[leg["room"]][leg["id"]] = leg["member_id"]
    lost = []
    for coach in coaches:
        there = dict(others[coach["room"]])
        coached, own = there.pop(coach["coaches"], None), there.pop(coach["id"])
        found = related(coach["room"], own)
        if coached in found or not found.issuperset(there.values()):
            lost.append(RelationsLost(session_id=coach["id"]))
    return lost


def _membership_events(session: dict[str, Any], member: MemberOnNode | None) -> Iterable[SessionEvent]:
    """The events that turn a session's membership in the store into that on the node."""
    session_id, room_id = session["id"], session.get("room")
    member_id, state = session.get("member_id"), session.get("state")
    same = member is not None and (member.room_id, member.member_id) == (room_id, member_id)
    if room_id and member_id is not None and not same:
        yield MemberLeft(session_id=session_id, room_id=room_id, member_id=member_id)
    if member is None:
        return
    subject: dict[str, Any] = {"session_id": session_id, "room_id": member.room_id, "member_id": member.member_id}
    if not same:
        yield MemberJoined(**subject, flags=_flags(member, session))
    elif state != SessionState.JOINING:
        # One that is kept out is muted and deaf on the node, whatever it asked for (lib/kept_out.lua).
        for flag in (HOLD,) if session.get("kept_out") else member.known:
            on = flag.name in member.flags
            if session[flag.name] != on:
                yield FlagChanged(**subject, flag=flag.name, on=on)
        for level, value in zip(LEVELS, member.levels, strict=True):
            if session[level.name] != value:
                yield LevelChanged(**subject, level=level.name, value=value)


def _transfer_events(
    session: dict[str, Any], application: str, is_answered: bool, exists: Callable[[str], bool]
) -> Iterable[SessionEvent]:
    """The events that turn a call's transfer to a number in the store into that on the node, which has been told."""
    leg = session["transfer"]
    if is_answered:
        if session["state"] == SessionState.TRANSFERRING:
            yield SessionTransferred(session_id=session["id"], leg=leg)
    elif application in SESSION_APPLICATIONS and not exists(leg):
        yield TransferOver(session_id=session["id"], leg=leg, cause=UNKNOWN_CAUSE)


def _leg_events(leg: dict[str, Any], member: MemberOnNode | None) -> Iterable[LegEvent]:
    """The same for a leg between nodes."""
    member_id = leg.get("member_id")
    if member is not None and member.room_id == leg["room"]:
        if member.member_id != member_id:
            yield LegJoined(leg=leg["id"], room_id=leg["room"], member_id=member.member_id)
    elif member_id is not None:
        yield LegLeft(leg=leg["id"], room_id=leg["room"])


def _intruded(ids: SessionIds, channel: str, call: Call, reason: str) -> CallIntruded:
    return CallIntruded(session_id=ids.of(channel), reason=reason, address=call.address, channel=channel)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _rows(channels: Any) -> list[Any]:
    return _list(channels.get("rows", []))
