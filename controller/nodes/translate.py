"""Event Socket events into node events. Pure. The tables at the end name all events that are subscribed to.

Whatever a caller can write, a number, a name or a header, stays a value: no decision depends on its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from controller.ids import JOB_ID, RECORDING_ID, ROOM_ID, SessionIds
from controller.nodes.events import (
    ASKED_FOR_ANOTHER_CALL,
    UNKNOWN_CAUSE,
    WAS_BRIDGED,
    CallIntruded,
    DigitPressed,
    FileDone,
    FlagChanged,
    JobDone,
    LegJoined,
    LegLeft,
    LevelChanged,
    MemberJoined,
    MemberLeft,
    NodeEvent,
    RecordingChanged,
    RecordingEnded,
    RecordingStarted,
    RestBegan,
    SessionAnswered,
    SessionEnded,
    SessionFileDone,
    SessionParked,
    SessionRinging,
    SessionTransferred,
    Talked,
    TransferOver,
)
from controller.sessions.flags import CHANGES, FLAGS
from controller.sessions.levels import LEVELS
from esl.commands import DIALLED, LEG_NAME, TRANSFER_VARIABLE, TRANSFERRED, parse_file
from esl.event import Event
from esl.link import Subscription

# A caller may claim to be anything, of any length.
MAX_TEXT_LENGTH = 256

# How the result of a failed command begins, and the reason that it means. Texts: traces 10, 05, 29, 34, 35 and 40.
FAILURES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-ERR Conference \S+ not found"), "no_members"),
    (re.compile(r"-ERR \(play\) File: .* not found", re.DOTALL), "unplayable"),
    (re.compile(r"-ERR Non-Existant ID"), "no_member"),
    (re.compile(r"-ERR Member: \S+ not found"), "no_member"),
    (re.compile(r"-ERR relationship \S+ not found"), "no_member"),
    (re.compile(r"-ERR No such channel"), "hangup"),
    (re.compile(r"-ERR Cannot locate session"), "hangup"),
    (re.compile(r"-ERR invalid uuid"), "hangup"),
    (re.compile(r"-ERR File not playing"), "not_playing"),
    (re.compile(r"-ERR non-existant recording"), "no_recording"),
    (re.compile(r"-ERR Cannot (stop|pause|resume) record"), "no_recording"),
    (re.compile(r"-ERR Cannot record session"), "write_failed"),
)
# The result of `pause_play`. With nothing to toggle it is empty (trace 06).
PAUSED = {"+OK Pause": True, "+OK Resume": False}
# That of `file_exists` (41).
FILES = {"true": True, "false": False}
# A digit, with what the node measures lengths in (32).
DIGIT = re.compile(r"[0-9A-D*#]")
SAMPLES_PER_MS = 8
# What a node says of a level of a member.
_LEVEL = re.compile(r"-?[0-9]{1,2}")
# What the node says of an application that has played its file, to the end or up to a stop (34).
PLAYED = "FILE PLAYED"
# Events of which only some are asked for.
FILTERED_OTHERWISE = ("CHANNEL_CREATE", "CHANNEL_EXECUTE_COMPLETE")
_RECORDING_FILE = re.compile(rf"/({RECORDING_ID.pattern})\.wav$")
_OF_RECORDING = re.compile(r"^conference \S+ recording ")
_NO_RECORDING = re.compile(r"-ERR non-existant recording.*", re.DOTALL)
# Of a number in an event.
MAX_COUNT_LENGTH = 15
# Set for an INVITE with a Replaces header, whatever came of it.
REPLACES = "variable_sip_replaces_call_id"
_TRANSFER = f"variable_{TRANSFER_VARIABLE}"

_OfMember = MemberJoined | MemberLeft | FlagChanged | LevelChanged | Talked


def translate(ids: SessionIds, event: Event) -> NodeEvent | None:
    """None for an event that the controller does not use."""
    if event.get("variable_accountcode") == TRANSFERRED:
        return None  # The call that was transferred there says what matters.
    name = event.name
    if name == "CUSTOM":
        read = _ACTIONS.get(event.get("Action") or "") or _BY_SUBCLASS.get(event.get("Event-Subclass") or "")
    else:
        read = _BY_NAME.get(name)
    return read(ids, event) if read else None


def recording_of(path: str) -> str | None:
    """The id of a recording, from the path of its file."""
    found = _RECORDING_FILE.search(path)
    return found[1] if found else None


def read_result(job: str, command: str, text: str) -> JobDone:
    """A job's result. `command`: as the node names it, `conference ROOM pause_play`."""
    text = text.strip()
    if _OF_RECORDING.search(command) and (found := _NO_RECORDING.search(text)):
        # `+OK` stands before it, or behind (41).
        text = found[0]
    if command.startswith("file_exists ") and text in FILES:
        return JobDone(job=job, ok=FILES[text], reason="" if FILES[text] else "no_file")
    if command.endswith(" pause_play") and not text:
        return JobDone(job=job, ok=False, reason="not_playing")
    if not text.startswith("-") and "+OK" in text:
        return JobDone(job=job, ok=True, paused=PAUSED.get(text))
    for pattern, reason in FAILURES:
        if pattern.match(text):
            return JobDone(job=job, ok=False, reason=reason)
    return JobDone(job=job, ok=False, reason="refused", text=text[:MAX_TEXT_LENGTH])


def _created(ids: SessionIds, event: Event) -> NodeEvent | None:
    """Only of a call that asked for another call. Any other is read when it parks."""
    intruded = REPLACES in event or event.get("Caller-Dialplan") == "inline"
    return _intruded(ids, event, ASKED_FOR_ANOTHER_CALL) if intruded else None


def _bridged(ids: SessionIds, event: Event) -> NodeEvent | None:
    leg = event.get(_TRANSFER)
    if leg and leg == event.get("Bridge-B-Unique-ID"):
        return SessionTransferred(session_id=_session_id(ids, event), leg=leg)
    return _intruded(ids, event, WAS_BRIDGED)


def _parked(ids: SessionIds, event: Event) -> NodeEvent | None:
    if REPLACES in event:
        return _intruded(ids, event, ASKED_FOR_ANOTHER_CALL)
    if leg := event.get(_TRANSFER):
        # Its number is not what was called, but what the node was told to do with it (38).
        cause = event.get("variable_originate_disposition") or UNKNOWN_CAUSE
        return TransferOver(session_id=_session_id(ids, event), leg=leg, cause=cause)
    if dialled := _dialled(event):
        # Not CHANNEL_ANSWER: `originate` is done with it only when it parks.
        return SessionAnswered(session_id=ids.of(dialled), channel=dialled)
    channel = "" if _is_leg(event) else _inbound(event)
    if not channel:
        return None
    return SessionParked(
        session_id=ids.of(channel),
        channel=channel,
        did=event.get("Caller-Destination-Number", "")[:MAX_TEXT_LENGTH],
        caller_id=event.get("Caller-Caller-ID-Number", "")[:MAX_TEXT_LENGTH],
    )


def _ringing(ids: SessionIds, event: Event) -> NodeEvent | None:
    channel = _dialled(event)
    return SessionRinging(session_id=ids.of(channel), channel=channel) if channel else None


def _ended(ids: SessionIds, event: Event) -> NodeEvent | None:
    if _is_leg(event):
        return None  # It has left its conference before.
    return SessionEnded(session_id=_session_id(ids, event), cause=event.get("Hangup-Cause") or UNKNOWN_CAUSE)


def _joined(ids: SessionIds, event: Event) -> NodeEvent | None:
    member_id = event.get("Member-ID", "")
    if _is_leg(event):
        return _leg(LegJoined, event, member_id=int(member_id)) if member_id.isdecimal() else None
    flags = tuple(flag.name for flag in FLAGS if event.get(flag.header) == ("true" if flag.said else "false"))
    return _member(MemberJoined, ids, event, channel=_inbound(event) or _dialled(event), flags=flags)


def _left(ids: SessionIds, event: Event) -> NodeEvent | None:
    # A member whose call has ended leaves with its cause, one that was kicked without (trace 03).
    cause = event.get("Hangup-Cause") or ""
    return _leg(LegLeft, event, cause=cause) if _is_leg(event) else _member(MemberLeft, ids, event, cause=cause)


def _flag_changed(flag: str, on: bool, ids: SessionIds, event: Event) -> NodeEvent | None:
    return None if _is_leg(event) else _member(FlagChanged, ids, event, flag=flag, on=on)


def _level_changed(level: str, ids: SessionIds, event: Event) -> NodeEvent | None:
    value = event.get("Volume-Level", "")
    if _is_leg(event) or not _LEVEL.fullmatch(value):
        return None
    return _member(LevelChanged, ids, event, level=level, value=int(value))


def _talked(on: bool, ids: SessionIds, event: Event) -> NodeEvent | None:
    return None if _is_leg(event) else _member(Talked, ids, event, on=on)


def _member(kind: type[_OfMember], ids: SessionIds, event: Event, **fields: Any) -> NodeEvent | None:
    room_id, member_id = event.get("Conference-Name", ""), event.get("Member-ID", "")
    if not ROOM_ID.fullmatch(room_id) or not member_id.isdecimal():
        return None
    return kind(session_id=_session_id(ids, event), room_id=room_id, member_id=int(member_id), **fields)


def _leg(kind: type[LegJoined | LegLeft], event: Event, **fields: Any) -> NodeEvent | None:
    room_id = event.get("Conference-Name", "")
    return kind(leg=event.get("Unique-ID", ""), room_id=room_id, **fields) if ROOM_ID.fullmatch(room_id) else None


def _pressed(ids: SessionIds, event: Event) -> NodeEvent | None:
    digit, samples, number = (event.get(name, "") for name in ("DTMF-Digit", "DTMF-Duration", "Event-Sequence"))
    if _is_leg(event) or not DIGIT.fullmatch(digit) or not samples.isdecimal() or not number.isdecimal():
        return None
    return DigitPressed(
        session_id=_session_id(ids, event),
        digit=digit,
        duration_ms=int(samples) // SAMPLES_PER_MS,
        number=int(number),
    )


def _file_done(_ids: SessionIds, event: Event) -> NodeEvent | None:
    # `File` names the file that is done; headers named as its parameters can be another file's (facts: Playback).
    parameters, _url = parse_file(event.get("File", ""))
    room_id, index = event.get("Conference-Name", ""), parameters.get("url_index", "")
    if not ROOM_ID.fullmatch(room_id) or not index.isdecimal() or "operation_id" not in parameters:
        return None
    samples = event.get("samples", "")
    return FileDone(
        room_id=room_id,
        operation_id=parameters["operation_id"],
        index=int(index),
        samples=int(samples) if samples.isdecimal() else None,
    )


def _rest_began(_ids: SessionIds, event: Event) -> NodeEvent | None:
    # Of the file alone: the event names no room. What stands behind the URL is from take.lua.
    room_id, _, rest = event.get("File", "").partition("#")[2].partition(":")
    operation_id, _, index = rest.partition(":")
    if not ROOM_ID.fullmatch(room_id) or not operation_id or not index.isdecimal():
        return None
    return RestBegan(room_id=room_id, operation_id=operation_id, index=int(index))


def _played_parked(ids: SessionIds, event: Event) -> NodeEvent | None:
    # A call that has ended breaks it off, and its end is told next (34).
    if event.get("Answer-State") == "hangup":
        return None
    reason = None if event.get("Application-Response") == PLAYED else "unplayable"
    return _session_file(ids, event, event.get("Application-Data", ""), reason)


def _played_member(ids: SessionIds, event: Event) -> NodeEvent | None:
    # Of a member that leaves it does not say which, and that it has left is told next (35).
    return _session_file(ids, event, event.get("File", "")) if "Member-ID" in event else None


def _session_file(ids: SessionIds, event: Event, file: str, reason: str | None = None) -> NodeEvent | None:
    parameters, _url = parse_file(file)
    operation_id, index = parameters.get("operation_id", ""), parameters.get("url_index", "")
    if not operation_id or not index.isdecimal():
        return None
    return SessionFileDone(
        session_id=_session_id(ids, event), operation_id=operation_id, index=int(index), reason=reason
    )


def _recording(
    read: Callable[[str, Event], NodeEvent], header: str, _ids: SessionIds, event: Event
) -> NodeEvent | None:
    """Of a recording whose file is named in that header; None for one that is not ours."""
    recording_id = recording_of(event.get(header, ""))
    return read(recording_id, event) if recording_id else None


def _record_begun(recording_id: str, event: Event) -> NodeEvent:
    return RecordingStarted(recording_id=recording_id, failed="Error" in event)


def _record_changed(what: str, recording_id: str, _event: Event) -> NodeEvent:
    return RecordingChanged(recording_id=recording_id, done=what)


def _record_ended(length: str, size: str, recording_id: str, event: Event) -> NodeEvent:
    return RecordingEnded(
        recording_id=recording_id,
        length_ms=_count(event.get(length, "")),
        size=_count(event.get(size, "")),
        hung_up=event.get("Answer-State") == "hangup",
    )


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_COUNT_LENGTH else None


def _job_done(_ids: SessionIds, event: Event) -> NodeEvent | None:
    job = event.get("Job-UUID", "")
    if not JOB_ID.fullmatch(job):
        return None
    return read_result(job, f"{event.get('Job-Command', '')} {event.get('Job-Command-Arg', '')}", event.body)


def _intruded(ids: SessionIds, event: Event, reason: str) -> NodeEvent | None:
    channel = _inbound(event)
    if not channel:
        return None
    address = event.get("Caller-Network-Addr", "")[:MAX_TEXT_LENGTH]
    return CallIntruded(session_id=ids.of(channel), reason=reason, address=address, channel=channel)


def _is_leg(event: Event) -> bool:
    """Whether it is about a leg between nodes, and not about a call."""
    return event.get("Channel-Name", "").startswith(LEG_NAME)


def _inbound(event: Event) -> str:
    """The channel, "" if the node has made the call."""
    return event.get("Unique-ID", "") if event.get("Call-Direction") == "inbound" else ""


def _dialled(event: Event) -> str:
    """The channel of a call that the node has made for an app, "" of any other."""
    is_dialled = event.get("Call-Direction") == "outbound" and event.get("variable_accountcode") == DIALLED
    return event.get("Unique-ID", "") if is_dialled else ""


def _session_id(ids: SessionIds, event: Event) -> str:
    return ids.of(event.get("Unique-ID", ""))


_Reader = Callable[[SessionIds, Event], NodeEvent | None]
_BY_NAME: dict[str, _Reader] = {
    "CHANNEL_CREATE": _created,
    "CHANNEL_BRIDGE": _bridged,
    # Of an inbound call there is none: it is answered at once.
    "CHANNEL_PROGRESS": _ringing,
    "CHANNEL_PROGRESS_MEDIA": _ringing,
    "CHANNEL_PARK": _parked,
    "CHANNEL_HANGUP_COMPLETE": _ended,
    "CHANNEL_EXECUTE_COMPLETE": _played_parked,
    "DTMF": _pressed,
    "RECORD_START": partial(_recording, _record_begun, "Record-File-Path"),
    "RECORD_STOP": partial(
        _recording, partial(_record_ended, "variable_record_ms", "variable_record_file_size"), "Record-File-Path"
    ),
    "BACKGROUND_JOB": _job_done,
}
_BY_ACTION: dict[str, _Reader] = {
    "add-member": _joined,
    "del-member": _left,
    "play-file-done": _file_done,
    "play-file-member-done": _played_member,
    "start-recording": partial(_recording, _record_begun, "Path"),
    "pause-recording": partial(_recording, partial(_record_changed, "paused"), "Path"),
    "resume-recording": partial(_recording, partial(_record_changed, "resumed"), "Path"),
    "stop-recording": partial(_recording, partial(_record_ended, "Milliseconds-Elapsed", "Record-File-Size"), "Path"),
    **{flag.change(on).action: partial(_flag_changed, flag.name, on) for flag, on in CHANGES},
    **{level.action: partial(_level_changed, level.name) for level in LEVELS},
}
_BY_SUBCLASS: dict[str, _Reader] = {"filestring::open": _rest_began}
# Not subscribed to but while somebody watches (`speakers`). Trace 16.
TALKING: dict[str, _Reader] = {"start-talking": partial(_talked, True), "stop-talking": partial(_talked, False)}
_ACTIONS = _BY_ACTION | TALKING

SUBSCRIPTION = Subscription(
    events=tuple(_BY_NAME),
    subclasses=("conference::maintenance", *_BY_SUBCLASS),
    filters=(
        *(("Event-Name", name) for name in _BY_NAME if name not in FILTERED_OTHERWISE),
        ("Application", "playback"),
        *(("Action", action) for action in _BY_ACTION),
        *(("Event-Subclass", subclass) for subclass in _BY_SUBCLASS),
        # Only calls that asked for another call instead of a number pass these; they do from their CHANNEL_CREATE on.
        (REPLACES, "/./"),
        ("Caller-Destination-Number", "/^answer,/"),
    ),
)
"""The events that `translate` reads, for a link to subscribe to."""
