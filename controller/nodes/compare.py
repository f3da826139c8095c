"""What a node says of itself, compared with what the store has of it. Pure: texts in, occurrences out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from controller.ids import ROOM_ID, SessionIds
from controller.nodes.events import (
    CallIntruded,
    FlagChanged,
    MemberJoined,
    MemberLeft,
    Occurrence,
    SessionEnded,
    SessionParked,
)
from controller.nodes.translate import ASKED, LONGEST_TEXT, UNASKED
from controller.sessions.flags import FLAGS

# Applications of `show channels` in which a call waits for us, or is where we put it.
SETTLED = frozenset({"park", "conference"})
# Those in which it is on its way there.
ARRIVING = frozenset({"", "answer"})
# The hangup cause of a call whose end nobody saw.
UNSEEN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Membership:
    """`flags`: those that are on, by name."""

    room_id: str
    member_id: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    """An inbound call. `asked`: for another call, by its INVITE, so that it never was in the node's dialplan."""

    did: str
    caller_id: str
    address: str = ""
    application: str = "park"
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Stalled:
    """A file that the store has as sent plays already, or one as queued does not; or none shall play and one does."""

    room_id: str
    operation_id: str
    index: int
    state: str


@dataclass(slots=True)
class Plan:
    """`occurrences` make the store what the node is; `orphans` are conferences without a room, to be emptied.

    `intruders` are to be hung up at once, those `misplaced` if they still are when looked at again: calls move.
    """

    occurrences: list[Occurrence] = field(default_factory=list)
    intruders: list[CallIntruded] = field(default_factory=list)
    misplaced: list[CallIntruded] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


def read_conferences(text: str) -> dict[str, Membership]:
    """`conference json_list` as channel uuid -> membership, for rooms only. Shape: trace 09. Raises ValueError."""
    return {
        member["uuid"]: Membership(
            room, int(member["id"]), tuple(flag.name for flag in FLAGS if not member["flags"][flag.ability])
        )
        for conference in _list(json.loads(text, strict=False))
        if ROOM_ID.fullmatch(room := conference["conference_name"])
        for member in conference.get("members", [])
        if "uuid" in member
    }


def read_channels(text: str) -> dict[str, Channel]:
    """`show channels as json` as uuid -> inbound call.

    It lags behind, both ways (trace 09): a call may not be there yet, or be there still.
    """
    return {
        row["uuid"]: Channel(
            did=row["initial_dest"][:LONGEST_TEXT],
            caller_id=row["cid_num"][:LONGEST_TEXT],
            address=row["ip_addr"][:LONGEST_TEXT],
            application=row["application"],
            # We put calls into an inline dialplan only later.
            asked=row["initial_dialplan"] == "inline",
        )
        for row in _list(json.loads(text, strict=False).get("rows", []))
        if row["direction"] == "inbound"
    }


def read_playing(text: str) -> str | None:
    """`conference ROOM play_status` as the URL that plays, without its scheme. Shape: trace 06.

    The fragment is ours, see `esl.commands.Play`.
    """
    found = re.match(r"\+OK \d+/\d+ ([^#\n]+)", text.strip())
    return found[1] if found else None


def read_stalled(room: dict[str, Any], playing: str | None) -> Stalled | None:
    """What a room's `head` in the store, the file that plays or comes next, and the node do not agree about."""
    head = room.get("head")
    if not head:
        return Stalled(room["id"], "", 0, "stopped") if playing and not room["stopping"] else None
    same = playing == re.sub(r"\A[A-Za-z]+://", "", head["url"])
    if same == (head["state"] == "queued"):
        return None
    return Stalled(room["id"], head["operation"], head["index"], head["state"])


def compare(
    ids: SessionIds,
    sessions: Iterable[dict[str, Any]],
    rooms: Iterable[dict[str, Any]],
    members: dict[str, Membership],
    channels: dict[str, Channel],
    exists: Callable[[str], bool],
    restarted: bool = False,
) -> Plan:
    """`sessions` and `rooms`: the store's snapshot; `exists`: asks the node for a call that is in no conference.

    `restarted`: the node is not the one any more that the store knew, so calls that are gone were lost with it.
    """
    plan = Plan()
    known = set()
    for session in sessions:
        uuid = session["channel"]
        known.add(uuid)
        there = members.get(uuid)
        if not there and not exists(uuid):
            plan.occurrences.append(SessionEnded(session_id=session["id"], cause=UNSEEN, node_lost=restarted))
        else:
            plan.occurrences.extend(_membership(session, there))
    for uuid, channel in channels.items():
        if channel.asked:
            if exists(uuid):
                plan.intruders.append(_intruded(ids, uuid, channel, ASKED))
        elif channel.application not in SETTLED:
            if channel.application not in ARRIVING and exists(uuid):
                plan.misplaced.append(_intruded(ids, uuid, channel, f"runs {channel.application}"))
        elif uuid not in known and (uuid in members or exists(uuid)):
            parked = SessionParked(session_id=ids.of(uuid), channel=uuid, did=channel.did, caller_id=channel.caller_id)
            plan.occurrences.append(parked)
            plan.occurrences.extend(_membership({"id": parked.session_id}, members.get(uuid)))
    for uuid in members.keys() - known - channels.keys():
        there = members[uuid]
        plan.misplaced.append(
            CallIntruded(session_id=ids.of(uuid), how=UNASKED, room_id=there.room_id, member_id=there.member_id)
        )
    alive = {room["id"] for room in rooms if not room["closing"]}
    plan.orphans = sorted({there.room_id for there in members.values()} - alive)
    return plan


def _intruded(ids: SessionIds, uuid: str, channel: Channel, how: str) -> CallIntruded:
    return CallIntruded(session_id=ids.of(uuid), how=how, address=channel.address, channel=uuid)


def _membership(session: dict[str, Any], there: Membership | None) -> Iterable[Occurrence]:
    """What turns a session's membership in the store into that on the node."""
    session_id, room = session["id"], session.get("room")
    member_id, state = session.get("member_id"), session.get("state")
    same = there is not None and (there.room_id, there.member_id) == (room, member_id)
    if room and member_id is not None and not same:
        yield MemberLeft(session_id=session_id, room_id=room, member_id=member_id)
    if there is None:
        return
    if not same:
        yield MemberJoined(session_id=session_id, room_id=there.room_id, member_id=there.member_id, flags=there.flags)
    elif state != "joining":
        for flag in FLAGS:
            on = flag.name in there.flags
            if session[flag.name] != on:
                yield FlagChanged(
                    session_id=session_id, room_id=there.room_id, member_id=there.member_id, flag=flag.name, on=on
                )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
