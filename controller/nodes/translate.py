"""Event Socket events into what they mean to the controller. Pure; whatever a caller can write stays a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from controller.ids import JOB_ID, ROOM_ID, SessionIds
from controller.nodes.events import (
    CallIntruded,
    FileDone,
    FlagChanged,
    JobAnswered,
    MemberJoined,
    MemberLeft,
    Occurrence,
    SessionEnded,
    SessionParked,
)
from controller.sessions.flags import FLAGS
from esl.commands import parse_file
from esl.event import Event
from esl.link import Subscription

# A caller may claim to be anything, of any length.
LONGEST_TEXT = 256

# How a refusal begins, and its reason. Texts: trace 10 and 05.
REFUSALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-ERR Conference \S+ not found"), "no_members"),
    (re.compile(r"-ERR \(play\) File: .* not found", re.DOTALL), "unplayable"),
    (re.compile(r"-ERR Non-Existant ID"), "no_member"),
    (re.compile(r"-ERR No such channel"), "hangup"),
    (re.compile(r"-ERR File not playing"), "not_playing"),
)
# Set for an INVITE with a Replaces header, whatever came of it.
REPLACES = "variable_sip_replaces_call_id"
# What is wrong with a call that is nobody's session.
ASKED = "asked for another call"
UNASKED = "joined a room unasked"
# What `pause_play` answers; with nothing to toggle it answers nothing (trace 06).
PAUSED = {"+OK Pause": True, "+OK Resume": False}


def translate(ids: SessionIds, event: Event) -> Occurrence | None:
    """None for what the controller has no use for."""
    name = event.name
    read = _BY_ACTION.get(event.get("Action") or "") if name == "CUSTOM" else _BY_NAME.get(name)
    return read(ids, event) if read else None


def read_answer(job: str, command: str, text: str) -> JobAnswered:
    """A job's result. `command`: as the node names it, `conference ROOM pause_play`."""
    text = text.strip()
    if command.endswith(" pause_play") and not text:
        return JobAnswered(job=job, ok=False, reason="not_playing")
    if not text.startswith("-") and "+OK" in text:
        return JobAnswered(job=job, ok=True, paused=PAUSED.get(text))
    for pattern, reason in REFUSALS:
        if pattern.match(text):
            return JobAnswered(job=job, ok=False, reason=reason)
    return JobAnswered(job=job, ok=False, reason="refused", text=text[:LONGEST_TEXT])


def _created(ids: SessionIds, event: Event) -> Occurrence | None:
    """Of those that asked for another call only; others are told when they have parked."""
    asked = REPLACES in event or event.get("Caller-Dialplan") == "inline"
    return _intruded(ids, event, ASKED) if asked else None


def _bridged(ids: SessionIds, event: Event) -> Occurrence | None:
    return _intruded(ids, event, "was bridged")


def _parked(ids: SessionIds, event: Event) -> Occurrence | None:
    if REPLACES in event:
        return _intruded(ids, event, ASKED)
    channel = _inbound(event)
    if not channel:
        return None
    return SessionParked(
        session_id=ids.of(channel),
        channel=channel,
        did=event.get("Caller-Destination-Number", "")[:LONGEST_TEXT],
        caller_id=event.get("Caller-Caller-ID-Number", "")[:LONGEST_TEXT],
    )


def _ended(ids: SessionIds, event: Event) -> Occurrence:
    return SessionEnded(session_id=_session_id(ids, event), cause=event.get("Hangup-Cause") or "UNKNOWN")


def _joined(ids: SessionIds, event: Event) -> Occurrence | None:
    flags = tuple(flag.name for flag in FLAGS if event.get(flag.header) == "false")
    return _member(MemberJoined, ids, event, channel=_inbound(event), flags=flags)


def _left(ids: SessionIds, event: Event) -> Occurrence | None:
    # A member whose call has ended leaves with its cause, one that was kicked without (trace 03).
    return _member(MemberLeft, ids, event, cause=event.get("Hangup-Cause") or "")


def _flag_changed(flag: str, on: bool, ids: SessionIds, event: Event) -> Occurrence | None:
    return _member(FlagChanged, ids, event, flag=flag, on=on)


def _member(
    kind: type[MemberJoined | MemberLeft | FlagChanged], ids: SessionIds, event: Event, **fields: Any
) -> Occurrence | None:
    room, member_id = event.get("Conference-Name", ""), event.get("Member-ID", "")
    if not ROOM_ID.fullmatch(room) or not member_id.isdecimal():
        return None
    return kind(session_id=_session_id(ids, event), room_id=room, member_id=int(member_id), **fields)


def _file_done(_ids: SessionIds, event: Event) -> Occurrence | None:
    # `File` names the file that is done; the headers of the same names can be another file's (facts: Playback).
    parameters, _url = parse_file(event.get("File", ""))
    room, index = event.get("Conference-Name", ""), parameters.get("url_index", "")
    if not ROOM_ID.fullmatch(room) or not index.isdecimal() or "operation_id" not in parameters:
        return None
    return FileDone(room_id=room, operation_id=parameters["operation_id"], index=int(index))


def _answered(_ids: SessionIds, event: Event) -> Occurrence | None:
    job = event.get("Job-UUID", "")
    if not JOB_ID.fullmatch(job):
        return None
    return read_answer(job, f"{event.get('Job-Command', '')} {event.get('Job-Command-Arg', '')}", event.body)


def _intruded(ids: SessionIds, event: Event, how: str) -> Occurrence | None:
    channel = _inbound(event)
    address = event.get("Caller-Network-Addr", "")[:LONGEST_TEXT]
    return CallIntruded(session_id=ids.of(channel), how=how, address=address, channel=channel) if channel else None


def _inbound(event: Event) -> str:
    """The channel's uuid, "" if the node has made the call."""
    return event.get("Unique-ID", "") if event.get("Call-Direction") == "inbound" else ""


def _session_id(ids: SessionIds, event: Event) -> str:
    return ids.of(event.get("Unique-ID", ""))


_Reader = Callable[[SessionIds, Event], Occurrence | None]
_BY_NAME: dict[str, _Reader] = {
    "CHANNEL_CREATE": _created,
    "CHANNEL_BRIDGE": _bridged,
    "CHANNEL_PARK": _parked,
    "CHANNEL_HANGUP_COMPLETE": _ended,
    "BACKGROUND_JOB": _answered,
}
_BY_ACTION: dict[str, _Reader] = {
    "add-member": _joined,
    "del-member": _left,
    "play-file-done": _file_done,
    **{flag.change(on).action: partial(_flag_changed, flag.name, on) for flag in FLAGS for on in (True, False)},
}

SUBSCRIPTION = Subscription(
    events=tuple(_BY_NAME),
    subclasses=("conference::maintenance",),
    filters=(
        *(("Event-Name", name) for name in _BY_NAME if name != "CHANNEL_CREATE"),
        *(("Action", action) for action in _BY_ACTION),
        # Of calls that asked for another call instead of a number, from their CHANNEL_CREATE on; others pass neither.
        (REPLACES, "/./"),
        ("Caller-Destination-Number", "/^answer,/"),
    ),
)
"""The events that `translate` reads, as a link is to ask for them."""
