"""Recorded events into occurrences: what the controller makes of each trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.events import (
    FileDone,
    JobAnswered,
    MemberJoined,
    MemberLeft,
    MemberMuted,
    Occurrence,
    SessionEnded,
    SessionParked,
)
from controller.ids import SessionIds
from controller.translate import read_answer, translate
from esl.event import Event

IDS = SessionIds("acW68", b"a key of thirty-two bytes, or so")
TRACES = Path(__file__).parent.parent / "contract" / "traces"


def occurrences(trace: str) -> list[Occurrence]:
    found = []
    for line in (TRACES / trace).read_text().splitlines():
        frame = json.loads(line)
        head, _, body = frame.get("raw", "").partition("\n\n")
        if frame.get("dir") == "recv" and "text/event-plain" in head and frame["node"] == "A":
            found.append(translate(IDS, Event(body.encode())))
    return [one for one in found if one is not None]


def test_a_call_through_two_rooms() -> None:
    channel = "a03719bf-9185-48d6-b57e-33c69bbc843a"
    sid = IDS.of(channel)
    first, second = (f"acW68-room-550e8400-e29b-41d4-a716-44665544000{number}" for number in (3, 4))
    member = {"session_id": sid, "room_id": first, "member_id": 1}
    parked = SessionParked(session_id=sid, channel=channel, did="747713001", caller_id="527121102")
    assert occurrences("03_join_unmute_mute_leave_rejoin.jsonl") == [
        parked,
        MemberJoined(**member, muted=True),
        MemberMuted(**member, muted=False),
        MemberMuted(**member, muted=True),
        MemberMuted(**member, muted=True),
        MemberLeft(**member),
        parked,
        MemberJoined(**{**member, "room_id": second}, muted=True),
        MemberLeft(**{**member, "room_id": second}, cause="NORMAL_CLEARING"),
        SessionEnded(session_id=sid, cause="NORMAL_CLEARING"),
    ]


def test_a_channel_is_not_printed() -> None:
    """Occurrences are logged when an audit finds them."""
    parked = SessionParked(session_id="s", channel="a03719bf-9185-48d6-b57e-33c69bbc843a", did="1", caller_id="2")
    assert "a03719bf" not in str(parked)


def test_files_are_named_by_file_not_by_the_head_of_the_queue() -> None:
    done = [
        one for one in occurrences("15_two_plays_dispatched_at_once_arrive_swapped.jsonl") if isinstance(one, FileDone)
    ]
    assert [(one.operation_id, one.index) for one in done] == [("55ee", 1), ("55ee", 0)]


def test_a_caller_who_forges_headers_is_only_a_caller() -> None:
    kinds = [type(one).__name__ for one in occurrences("13_caller_forges_event_headers.jsonl")]
    assert kinds == ["SessionParked", "MemberJoined", "MemberLeft", "SessionEnded"]


def test_a_bridge_leg_between_nodes_is_nobodys_call() -> None:
    parked = [one for one in occurrences("11_room_across_two_nodes.jsonl") if isinstance(one, SessionParked)]
    assert [one.did for one in parked] == ["747713001"]


def test_jobs_of_others_are_not_ours() -> None:
    assert not [one for one in occurrences("10_errors.jsonl") if isinstance(one, JobAnswered)]


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        ("conference R play X", "+OK (play) Playing file X\n", (True, "", "")),
        ("uuid_transfer U X inline", "+OK\n", (True, "", "")),
        ("conference R kick all", "+OK kicked 7\n+OK kicked 6\n", (True, "", "")),
        ("conference R recording stop all", "Stopped recording file /x\n+OK Stopped recording 0 files\n", (True, "", "")),
        ("conference R play X", "-ERR Conference R not found\n", (False, "no_members", "")),
        ("conference R play X", "-ERR (play) File: {a=1}http://h/x not found.\n", (False, "unplayable", "")),
        ("conference R mute 999", "-ERR Non-Existant ID 999\n", (False, "no_member", "")),
        ("uuid_transfer U X inline", "-ERR No such channel!\n", (False, "hangup", "")),
        ("conference R file-vol 3", "-ERR File not playing\nfile-vol <vol#>", (False, "not_playing", "")),
        ("conference R pause_play", "", (False, "not_playing", "")),
        ("conference R nosuch", "-ERR Conference command 'nosuch' not found.\n", (False, "refused", "-ERR Conference command 'nosuch' not found.")),
    ],
)  # fmt: skip
def test_answers(command: str, text: str, expected: tuple[bool, str, str]) -> None:
    answer = read_answer("p00-1-0", command, text)
    assert (answer.ok, answer.reason, answer.text) == expected


@pytest.mark.parametrize(("text", "paused"), [("+OK Pause\n", True), ("+OK Resume\n", False)])
def test_what_a_pause_toggled_to(text: str, paused: bool) -> None:
    assert read_answer("p00-1-0", "conference R pause_play", text).paused is paused
