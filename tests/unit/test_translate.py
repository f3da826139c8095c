"""Recorded events into node events: what the controller makes of each trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.ids import SessionIds
from controller.nodes.events import (
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
    SessionParked,
    SessionRinging,
    SessionTransferred,
    Talked,
    TransferOver,
)
from controller.nodes.translate import read_result, translate
from esl.event import Event

IDS = SessionIds("acW68", b"a key of thirty-two bytes, or so")
TRACES = Path(__file__).parent.parent / "contract" / "traces"


def node_events(trace: str) -> list[NodeEvent]:
    found = []
    for line in (TRACES / trace).read_text().splitlines():
        frame = json.loads(line)
        head, _, body = frame.get("raw", "").partition("\n\n")
        if frame.get("dir") == "recv" and "text/event-plain" in head and frame["node"] == "A":
            found.append(translate(IDS, Event(body.encode())))
    return [one for one in found if one is not None]


RECORDING = "0f8fad5bd9cb469fa16570867728950e"


def of_recordings(trace: str) -> list[NodeEvent]:
    kinds = (RecordingStarted, RecordingChanged, RecordingEnded, JobDone)
    return [event for event in node_events(trace) if isinstance(event, kinds) and not is_job(event)]


def is_job(event: NodeEvent) -> bool:
    return isinstance(event, JobDone)


def test_a_room_that_is_recorded() -> None:
    *events, ended = of_recordings("41_room_recorded.jsonl")
    assert events == [
        RecordingStarted(recording_id=RECORDING),
        RecordingChanged(recording_id=RECORDING, done="paused"),
        RecordingChanged(recording_id=RECORDING, done="resumed"),
    ]
    assert isinstance(ended, RecordingEnded)
    assert ended.length_ms
    assert not ended.hung_up
    # 16 bits of each of 8000 samples, and the head.
    assert ended.size == ended.length_ms * 16 + 186


def test_a_call_that_is_recorded() -> None:
    events = of_recordings("42_call_recorded.jsonl")
    assert [type(event) for event in events] == [RecordingStarted, RecordingEnded] * 3
    ended = [event for event in events if isinstance(event, RecordingEnded)]
    assert [event.hung_up for event in ended] == [False, False, True]
    # The first is in stereo.
    assert [event.size for event in ended] == [
        (event.length_ms or 0) * 16 * channels + 44 for event, channels in zip(ended, (2, 1, 1), strict=True)
    ]


def test_a_call_through_two_rooms() -> None:
    channel = "a03719bf-9185-48d6-b57e-33c69bbc843a"
    sid = IDS.of(channel)
    first, second = (f"acW68-room-550e8400-e29b-41d4-a716-44665544000{number}" for number in (3, 4))
    member = {"session_id": sid, "room_id": first, "member_id": 1}
    parked = SessionParked(session_id=sid, channel=channel, did="747713001", caller_id="527121102")
    assert node_events("03_join_unmute_mute_leave_rejoin.jsonl") == [
        parked,
        MemberJoined(**member, flags=("muted",)),
        FlagChanged(**member, flag="muted", on=False),
        FlagChanged(**member, flag="muted", on=True),
        FlagChanged(**member, flag="muted", on=True),
        MemberLeft(**member),
        parked,
        MemberJoined(**{**member, "room_id": second}, flags=("muted",)),
        MemberLeft(**{**member, "room_id": second}, cause="NORMAL_CLEARING"),
        SessionEnded(session_id=sid, cause="NORMAL_CLEARING"),
    ]


def test_digits_that_a_caller_sends() -> None:
    pressed = [event for event in node_events("32_digits_received.jsonl") if isinstance(event, DigitPressed)]
    assert [(one.digit, one.duration_ms) for one in pressed] == [
        ("1", 100),
        ("#", 200),
        ("*", 100),
        ("D", 1000),
        ("1", 100),
    ]
    assert len({one.session_id for one in pressed}) == 1
    assert sorted({one.number for one in pressed}) == [one.number for one in pressed]
    assert "'#'" not in str(pressed[1])


@pytest.mark.parametrize("headers", ["DTMF-Digit: w", "DTMF-Digit: 12", "DTMF-Duration: -1", "Event-Sequence: x"])
def test_what_is_no_digit(headers: str) -> None:
    given = {"DTMF-Digit": "1", "DTMF-Duration": "800", "Event-Sequence": "7", "Unique-ID": "a03719bf"}
    assert translate(IDS, Event(event_text({"Event-Name": "DTMF", **given}))) is not None
    name, _, value = headers.partition(": ")
    assert translate(IDS, Event(event_text({"Event-Name": "DTMF", **given, name: value}))) is None
    leg = {"Channel-Name": "sofia/bridge/acW68@127.0.0.1"}
    assert translate(IDS, Event(event_text({"Event-Name": "DTMF", **given, **leg}))) is None


def event_text(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\n" for name, value in headers.items()).encode() + b"\n"


def test_a_call_that_was_dialled() -> None:
    """It parks when it is answered, and again when it leaves its room."""
    first, second = (f"7d444840-9dc0-41d1-9245-5ffdce74fa0{number}" for number in (1, 3))
    sid, other = IDS.of(first), IDS.of(second)
    member = {"session_id": sid, "room_id": "acW68-room-550e8400-e29b-41d4-a716-446655440027", "member_id": 1}
    found = [one for one in node_events("27_number_dialled_and_answered.jsonl") if not isinstance(one, JobDone)]
    assert found == [
        SessionRinging(session_id=sid, channel=first),
        SessionAnswered(session_id=sid, channel=first),
        MemberJoined(**member, flags=("muted",)),
        MemberLeft(**member),
        SessionAnswered(session_id=sid, channel=first),
        SessionEnded(session_id=sid, cause="NORMAL_CLEARING"),
        SessionRinging(session_id=other, channel=second),
        SessionAnswered(session_id=other, channel=second),
        SessionEnded(session_id=other, cause="NORMAL_CLEARING"),
    ]


def test_calls_that_were_dialled_and_not_answered() -> None:
    found = node_events("28_number_dialled_and_not_answered.jsonl")
    assert [one.cause for one in found if isinstance(one, SessionEnded)] == [
        *("USER_BUSY", "CALL_REJECTED", "CALL_REJECTED", "UNALLOCATED_NUMBER", "NO_USER_RESPONSE"),
        *("REQUESTED_CHAN_UNAVAIL", "NO_ANSWER", "NORMAL_CLEARING", "NORMAL_TEMPORARY_FAILURE", "NORMAL_CLEARING"),
    ]
    assert len([one for one in found if isinstance(one, SessionRinging)]) == 3
    assert not any(isinstance(one, SessionAnswered | SessionParked) for one in found)


def test_calls_that_were_transferred() -> None:
    legs = [f"7d444840-9dc0-41d1-9245-5ffdce74fb0{number}" for number in range(1, 8)]
    found = node_events("38_call_transferred_and_answered.jsonl")
    bridged = [one for one in found if isinstance(one, SessionTransferred)]
    assert [one.leg for one in bridged] == legs[:3]
    # Their own ids go on; the calls to the numbers are no sessions.
    assert [one.session_id for one in bridged] == [one.session_id for one in found if isinstance(one, SessionEnded)]
    assert not any(isinstance(one, CallIntruded | TransferOver) for one in found)
    found = node_events("39_call_transferred_and_not_answered.jsonl")
    over = [(one.leg, one.cause) for one in found if isinstance(one, TransferOver)]
    # The first has joined a room then, and has left it.
    causes = ["USER_BUSY", "USER_BUSY", "NO_ANSWER", "NORMAL_TEMPORARY_FAILURE", "NO_ANSWER"]
    assert over == list(zip([legs[3], *legs[3:]], causes, strict=True))
    assert len([one for one in found if isinstance(one, SessionParked)]) == 5


@pytest.mark.parametrize("transfer", ["", "another"])
def test_a_call_that_is_bridged_with_another_than_that_to_its_number(transfer: str) -> None:
    headers = {"Event-Name": "CHANNEL_BRIDGE", "Unique-ID": "a03719bf", "Call-Direction": "inbound"}
    headers |= {"Bridge-B-Unique-ID": "leg"} | ({"variable_switchroom_transfer": transfer} if transfer else {})
    assert isinstance(translate(IDS, Event(event_text(headers))), CallIntruded)
    headers["variable_switchroom_transfer"] = "leg"
    assert isinstance(translate(IDS, Event(event_text(headers))), SessionTransferred)


def test_a_channel_is_not_printed() -> None:
    """Events are logged when an audit finds them."""
    parked = SessionParked(session_id="s", channel="a03719bf-9185-48d6-b57e-33c69bbc843a", did="1", caller_id="2")
    assert "a03719bf" not in str(parked)


@pytest.mark.parametrize("trace", ["17_caller_listens_in_by_replaces.jsonl", "18_caller_takes_a_members_place.jsonl"])
def test_a_caller_who_asks_for_another_call_is_known_before_anything_else(trace: str) -> None:
    found = node_events(trace)
    ((first, intruder),) = [(at, one) for at, one in enumerate(found) if isinstance(one, CallIntruded)]
    assert (intruder.reason, intruder.address) == ("asked for another call", "127.0.0.1")
    assert intruder.channel not in str(intruder)
    of_it = [at for at, one in enumerate(found) if getattr(one, "session_id", "") == intruder.session_id]
    assert of_it[0] == first
    assert not any(isinstance(one, SessionParked) for one in found[first:])


def event(name: str, direction: str = "inbound", **headers: str) -> Event:
    given = {"Event-Name": name, "Unique-ID": "u1", "Call-Direction": direction, "Caller-Network-Addr": "192.0.2.7"}
    lines = {**given, **{header.replace("_", "-"): value for header, value in headers.items()}}
    return Event("".join(f"{header}: {value}\n" for header, value in lines.items()).encode())


def asking(name: str, direction: str = "inbound") -> Event:
    return Event(event(name, direction).raw + b"variable_sip_replaces_call_id: nobody\n")


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (event("CHANNEL_CREATE", Caller_Dialplan="XML"), None),
        (event("CHANNEL_CREATE", Caller_Dialplan="inline"), "asked for another call"),
        (event("CHANNEL_CREATE", "outbound", Caller_Dialplan="inline"), None),
        # It found none, and is in the dialplan as any other; it asked all the same.
        (asking("CHANNEL_CREATE"), "asked for another call"),
        (asking("CHANNEL_PARK"), "asked for another call"),
        (asking("CHANNEL_PARK", "outbound"), None),
        (event("CHANNEL_BRIDGE"), "was bridged"),
        (event("CHANNEL_BRIDGE", "outbound"), None),
    ],
)
def test_a_call_that_is_where_none_can_be(seen: Event, reason: str | None) -> None:
    expected = reason and CallIntruded(session_id=IDS.of("u1"), channel="u1", reason=reason, address="192.0.2.7")
    assert translate(IDS, seen) == expected


@pytest.mark.parametrize(("direction", "channel"), [("inbound", "u1"), ("outbound", "")])
def test_only_a_call_that_came_in_could_be_hung_up(direction: str, channel: str) -> None:
    room = "acW68-room-550e8400-e29b-41d4-a716-446655440003"
    seen = event("CUSTOM", direction, Action="add-member", Conference_Name=room, Member_ID="7", Speak="true")
    joined = translate(IDS, seen)
    assert isinstance(joined, MemberJoined)
    assert joined.channel == channel


def test_files_are_named_by_file_not_by_the_head_of_the_queue() -> None:
    done = [
        one for one in node_events("15_two_plays_dispatched_at_once_arrive_swapped.jsonl") if isinstance(one, FileDone)
    ]
    assert [(one.operation_id, one.index) for one in done] == [("55ee", 1), ("55ee", 0)]


def test_a_file_in_two_parts_says_when_its_second_begins_and_is_done_once() -> None:
    found = node_events("24_two_files_as_one.jsonl")
    kinds = [(type(one).__name__, one.index) for one in found if isinstance(one, FileDone | RestBegan)]
    # Of 1 the second part was missing; 2 was stopped.
    assert kinds == [("RestBegan", 0), ("FileDone", 0), ("FileDone", 1), ("RestBegan", 2), ("FileDone", 2)]
    # The first part has 8000.
    assert [one.samples for one in found if isinstance(one, FileDone)] == [24000, 8000, 16000]


ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440003"


@pytest.mark.parametrize(
    "fragment", ["", "#", "#/", "#x:y:0", f"#{ROOM}", f"#{ROOM}::0", f"#{ROOM}:y:", f"#{ROOM}:y:z"]
)
def test_what_else_a_list_of_files_plays_is_nothing(fragment: str) -> None:
    text = f"Event-Name: CUSTOM\nEvent-Subclass: filestring::open\nFile: http://h/a.wav{fragment}\n\n"
    assert translate(IDS, Event(text.encode())) is None


def test_a_caller_who_forges_headers_is_only_a_caller() -> None:
    kinds = [type(one).__name__ for one in node_events("13_caller_forges_event_headers.jsonl")]
    assert kinds == ["SessionParked", "MemberJoined", "MemberLeft", "SessionEnded"]


def test_a_bridge_leg_between_nodes_is_nobodys_call() -> None:
    parked = [one for one in node_events("11_room_across_two_nodes.jsonl") if isinstance(one, SessionParked)]
    assert [one.did for one in parked] == ["747713001"]


LEG = {
    "Channel_Name": "sofia/bridge/bcX79@127.0.0.2",
    "Conference_Name": "acW68-room-550e8400-e29b-41d4-a716-446655440003",
}


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
@pytest.mark.parametrize(
    ("name", "headers", "expected"),
    [
        (
            "CUSTOM",
            {"Action": "add-member", "Member_ID": "7"},
            LegJoined(leg="u1", room_id=LEG["Conference_Name"], member_id=7),
        ),
        ("CUSTOM", {"Action": "del-member", "Member_ID": "7"}, LegLeft(leg="u1", room_id=LEG["Conference_Name"])),
        (
            "CUSTOM",
            {"Action": "del-member", "Hangup_Cause": "MEDIA_TIMEOUT"},
            LegLeft(leg="u1", room_id=LEG["Conference_Name"], cause="MEDIA_TIMEOUT"),
        ),
        ("CUSTOM", {"Action": "mute-member", "Member_ID": "7"}, None),
        ("CUSTOM", {"Action": "add-member", "Member_ID": "x"}, None),
        ("CHANNEL_HANGUP_COMPLETE", {}, None),
        ("CHANNEL_PARK", {}, None),
    ],
)
def test_a_leg_between_nodes(direction: str, name: str, headers: dict[str, str], expected: NodeEvent | None) -> None:
    assert translate(IDS, event(name, direction, **LEG, **headers)) == expected


def test_a_leg_in_a_conference_that_is_no_room() -> None:
    seen = event("CUSTOM", Action="add-member", Member_ID="7", **{**LEG, "Conference_Name": "lobby"})
    assert translate(IDS, seen) is None


def test_jobs_of_others_are_not_ours() -> None:
    assert not [one for one in node_events("10_errors.jsonl") if isinstance(one, JobDone)]


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        ("conference R play X", "+OK (play) Playing file X\n", (True, "", "")),
        ("uuid_transfer U X inline", "+OK\n", (True, "", "")),
        ("conference R kick all", "+OK kicked 7\n+OK kicked 6\n", (True, "", "")),
        ("conference R recording stop all", "Stopped recording file /x\n+OK Stopped recording 0 files\n", (True, "", "")),
        ("conference R play X", "-ERR Conference R not found\n", (False, "no_members", "")),
        ("conference R relate 1 2,9 nospeak", "+OK 1->2 nospeak set\n-ERR relationship 1->9 not found.\n", (True, "", "")),
        ("conference R relate 1 9 nospeak", "-ERR relationship 1->9 not found.\n", (False, "no_member", "")),
        ("conference R relate 1 0 clear", "+OK relationship 1->0 cleared.\n", (True, "", "")),
        ("conference R play X 7", "-ERR Member: 2013409332 not found.\nplay <file_path>", (False, "no_member", "")),
        ("uuid_broadcast U X aleg", "-ERR invalid uuid\n", (False, "hangup", "")),
        ("uuid_broadcast U X aleg", "+OK Message sent\n", (True, "", "")),
        ("conference R play X", "-ERR (play) File: {a=1}http://h/x not found.\n", (False, "unplayable", "")),
        ("conference R mute 999", "-ERR Non-Existant ID 999\n", (False, "no_member", "")),
        ("uuid_transfer U X inline", "-ERR No such channel!\n", (False, "hangup", "")),
        ("conference R file-vol 3", "-ERR File not playing\nfile-vol <vol#>", (False, "not_playing", "")),
        ("conference R pause_play", "", (False, "not_playing", "")),
        ("conference R recording stop /r/x.wav", "-ERR non-existant recording '/r/x.wav'\n+OK Stopped recording 0 files\n", (False, "no_recording", "")),
        ("conference R recording pause /r/x.wav", "+OK Pause recording file /r/x.wav\n-ERR non-existant recording '/r/x.wav'\n", (False, "no_recording", "")),
        ("conference R recording stop /r/x.wav", "Stopped recording file /r/x.wav\n+OK Stopped recording 0 files\n", (True, "", "")),
        ("uuid_record U stop /r/x.wav", "-ERR Cannot stop record session!\n", (False, "no_recording", "")),
        ("uuid_record U start /r/x.wav", "-ERR Cannot record session!\n", (False, "write_failed", "")),
        ("file_exists /r/x.wav", "true", (True, "", "")),
        ("file_exists /r/x.wav", "false", (False, "no_file", "")),
        ("conference R nosuch", "-ERR Conference command 'nosuch' not found.\n", (False, "refused", "-ERR Conference command 'nosuch' not found.")),
    ],
)  # fmt: skip
def test_results(command: str, text: str, expected: tuple[bool, str, str]) -> None:
    result = read_result("p00-1-0", command, text)
    assert (result.ok, result.reason, result.text) == expected


@pytest.mark.parametrize(("text", "paused"), [("+OK Pause\n", True), ("+OK Resume\n", False)])
def test_what_a_pause_toggled_to(text: str, paused: bool) -> None:
    assert read_result("p00-1-0", "conference R pause_play", text).paused is paused


def test_levels_as_the_node_clips_them() -> None:
    found = [
        (each.level, each.value)
        for each in node_events("23_join_with_flags_and_volume.jsonl")
        if isinstance(each, LevelChanged)
    ]
    assert found == [("volume_in", 2), ("volume_in", 2), ("volume_in", 3), ("volume_in", -4), ("volume_out", -4)]


def test_who_talks() -> None:
    """No trace holds that somebody stops."""
    talked = [each for each in node_events("16_talking_and_deaf.jsonl") if isinstance(each, Talked)]
    assert [(each.room_id, each.on) for each in talked] == [
        ("acW68-room-550e8400-e29b-41d4-a716-446655440016", True)
    ] * 2
    room = talked[0].room_id
    stops = f"Event-Name: CUSTOM\nAction: stop-talking\nConference-Name: {room}\nMember-ID: 7\nUnique-ID: x\n\n"
    assert translate(IDS, Event(stops.encode())) == Talked(session_id=IDS.of("x"), room_id=room, member_id=7, on=False)
