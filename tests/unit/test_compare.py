"""The comparison of a node with the store: whatever differs becomes an event, what is the same becomes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controller.ids import SessionIds
from controller.nodes.compare import (
    MAX_VALUES,
    Call,
    MemberOnNode,
    Plan,
    PlaybackDrift,
    Recorded,
    compare,
    compare_playback,
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
from controller.nodes.events import (
    FlagChanged,
    LegJoined,
    LegLeft,
    LevelChanged,
    MemberJoined,
    MemberLeft,
    RecordingChanged,
    RecordingEnded,
    RecordingStarted,
    RelationsLost,
    SessionAnswered,
    SessionEnded,
    SessionFound,
    SessionTransferred,
    TransferOver,
)
from controller.sessions.flags import FLAGS
from controller.sessions.levels import LEVELS

ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440009"
OTHER = "acW68-room-550e8400-e29b-41d4-a716-446655440010"
TRACES = Path(__file__).parent.parent / "contract" / "traces"
IDS = SessionIds("acW68", b"a key of thirty-two bytes, or so")
SID = IDS.of("u1")


def replies(trace: str) -> dict[str, str]:
    """What a trace's `api` commands printed, by command."""
    found: dict[str, str] = {}
    command = ""
    for line in (TRACES / trace).read_text().splitlines():
        frame = json.loads(line)
        raw = frame.get("raw", "")
        if frame.get("dir") == "send":
            command = raw.strip()
        elif raw.startswith("Content-Type: api/response"):
            found[command] = raw.partition("\n\n")[2]
    return found


def test_reading_what_the_node_says() -> None:
    printed = replies("09_destroy_room_with_three_members.jsonl")
    members = read_members(read_list(printed["api conference json_list"]))
    assert members == {
        "05e8145b-d5de-4845-aa09-3d3e5c41772b": MemberOnNode(ROOM, 7, ("muted",)),
        "f6a971da-17c0-43d9-82f2-bdc844bf6f36": MemberOnNode(ROOM, 6, ("muted",)),
        "0f1168a7-3e8f-40c9-b0d3-c84887187085": MemberOnNode(ROOM, 5, ("muted",)),
    }
    calls = read_calls(read_list(printed["api show channels as json"]))
    call = Call("747713001", "527121102", "127.0.0.1", "park")
    assert calls == {"0f1168a7-3e8f-40c9-b0d3-c84887187085": call}


def test_what_a_member_on_hold_is_stays_as_it_was() -> None:
    """The node says that it can neither speak nor hear, whatever its flags are (mod_conference, `json_list`)."""
    said = {"id": 5, "uuid": "u1", "flags": {"can_speak": False, "can_hear": False, "hold": True}}
    said |= {level.name: 0 for level in LEVELS}
    members = read_members(read_list(json.dumps([{"conference_name": ROOM, "members": [said]}])))
    known = session("joined", ROOM, 5, muted=False)
    plan = compare(IDS, [known | {"hold": True}], [], members, CALL, lambda _: True)
    assert plan.events == []
    plan = compare(IDS, [known], [], members, CALL, lambda _: True)
    assert plan.events == [FlagChanged(session_id=SID, room_id=ROOM, member_id=5, flag="hold", on=True)]
    # Of one whose join was not seen it is known only what it was to join with.
    plan = compare(IDS, [session("joining", ROOM)], [], members, CALL, lambda _: True)
    assert plan.events == [MemberJoined(session_id=SID, room_id=ROOM, member_id=5, flags=("muted", "hold"))]


def test_reading_an_empty_node() -> None:
    printed = replies("10_errors.jsonl")
    assert read_members(read_list(printed["api conference json_list"])) == {}
    assert read_calls(read_list(printed["api show channels as json"])) == {}


@pytest.mark.parametrize("piece", ["[[]],", "{},", "0,", '"a",', '{"a":0},', '"\\"",'])
def test_a_list_without_end_is_not_read(piece: str) -> None:
    with pytest.raises(ValueError, match="without end"):
        read_list(f"[{piece * MAX_VALUES}0]")


@pytest.mark.parametrize("name", ["[" * (MAX_VALUES + 1), '\\"[,{' * MAX_VALUES])
def test_what_a_caller_is_called_ends_no_list(name: str) -> None:
    row = '"uuid":"u1","direction":"inbound","name":"sofia/a","initial_dest":"1","cid_num":"2","ip_addr":"3"'
    row += ',"application":"park","application_data":"","initial_dialplan":"XML"'
    assert set(read_calls(read_list(f'{{"rows":[{{{row},"cid_name":"{name}"}}]}}'))) == {"u1"}
    # Not even one that does not end.
    with pytest.raises(ValueError, match="Unterminated"):
        read_list(f'{{"rows":[{{{row},"cid_name":"{name}')


def test_a_name_that_json_cannot_hold() -> None:
    """A node does not escape all that it should."""
    assert read_list('{"rows":[{"cid_name":"a\tb"}]}') == {"rows": [{"cid_name": "a\tb"}]}


def session(state: str, room: str | None = None, member_id: int | None = None, muted: bool = True) -> dict[str, Any]:
    flags = {flag.name: flag.name == "muted" and muted for flag in FLAGS}
    return {
        "id": SID, "channel": "u1", "app": "demo", "state": state, "room": room, "member_id": member_id, **flags,
        **{level.name: 0 for level in LEVELS},
    }  # fmt: skip


CALL = {"u1": Call("747713001", "527")}
LEFT = MemberLeft(session_id=SID, room_id=ROOM, member_id=5)


def joined(room: str, member_id: int, muted: bool = True) -> MemberJoined:
    return MemberJoined(session_id=SID, room_id=room, member_id=member_id, flags=("muted",) if muted else ())


@pytest.mark.parametrize(
    ("stored", "member", "expected"),
    [
        (session("parked"), None, []),
        (session("parked"), MemberOnNode(ROOM, 5, ("muted",)), [joined(ROOM, 5)]),
        (session("joining", ROOM), None, []),
        (session("joining", ROOM), MemberOnNode(ROOM, 5, ()), [joined(ROOM, 5, False)]),
        (session("joined", ROOM, 5), MemberOnNode(ROOM, 5, ("muted",)), []),
        (session("leaving", ROOM, 5), MemberOnNode(ROOM, 5, ("muted",)), []),
        (
            session("joined", ROOM, 5),
            MemberOnNode(ROOM, 5, ()),
            [FlagChanged(session_id=SID, room_id=ROOM, member_id=5, flag="muted", on=False)],
        ),
        (
            session("joined", ROOM, 5),
            MemberOnNode(ROOM, 5, ("muted",), levels=(0, -3)),
            [LevelChanged(session_id=SID, room_id=ROOM, member_id=5, level="volume_out", value=-3)],
        ),
        (session("joining", ROOM), MemberOnNode(ROOM, 5, ("muted",), levels=(2, 0)), [joined(ROOM, 5)]),
        (session("joined", ROOM, 5), None, [LEFT]),
        (session("leaving", ROOM, 5), None, [LEFT]),
        (session("joined", ROOM, 5), MemberOnNode(ROOM, 6, ("muted",)), [LEFT, joined(ROOM, 6)]),
        (session("joined", ROOM, 5), MemberOnNode(OTHER, 6, ("muted",)), [LEFT, joined(OTHER, 6)]),
    ],
)
def test_one_session(stored: dict[str, Any], member: MemberOnNode | None, expected: list[Any]) -> None:
    members = {"u1": member} if member else {}
    rooms = [{"id": ROOM, "closing": False}, {"id": OTHER, "closing": False}]
    plan = compare(IDS, [stored], rooms, members, CALL, lambda _: True)
    assert plan.events == expected
    assert plan.orphans == []


def test_a_call_that_ended_unseen() -> None:
    asked: list[str] = []
    plan = compare(IDS, [session("parked")], [], {}, {}, lambda channel: bool(asked.append(channel)))
    assert plan.events == [SessionEnded(session_id=SID, cause="UNKNOWN")]
    assert asked == ["u1"]


def test_a_call_that_went_with_its_node() -> None:
    plan = compare(IDS, [session("parked")], [], {}, {}, lambda _: False, restarted=True)
    assert plan.events == [SessionEnded(session_id=SID, cause="UNKNOWN", node_lost=True)]


def test_the_audit_asks_for_no_call_that_is_listed() -> None:
    asked: list[str] = []

    def exists(channel: str) -> bool:
        asked.append(channel)
        return False

    assert compare(IDS, [session("parked")], [], {}, CALL, exists, trusts_list=True).events == []
    assert asked == []
    assert compare(IDS, [session("parked")], [], {}, {}, exists, trusts_list=True).events != []
    assert len(asked) == 1


@pytest.mark.parametrize(("listed", "exists", "ended"), [(False, True, False), (True, False, True)])
def test_the_channel_list_lags_behind(listed: bool, exists: bool, ended: bool) -> None:
    plan = compare(IDS, [session("parked")], [], {}, CALL if listed else {}, lambda _: exists)
    assert plan.events == ([SessionEnded(session_id=SID, cause="UNKNOWN")] if ended else [])


def test_a_call_that_is_listed_and_over() -> None:
    assert compare(IDS, [], [], {}, CALL, lambda _: False).events == []


def test_a_call_that_came_unseen() -> None:
    plan = compare(
        IDS, [], [{"id": ROOM, "closing": False}], {"u1": MemberOnNode(ROOM, 5, ("muted",))}, CALL, lambda _: True
    )
    assert plan.events == [
        SessionFound(
            session_id=SID, channel="u1", did="747713001", caller_id="527", room_id=ROOM, member_id=5, flags=("muted",)
        )
    ]
    assert plan.events[0].flags == ("muted",)  # in no comparison, as they may change until it is found again


def hung_up(plan: Plan) -> tuple[list[str], list[str]]:
    """What is wrong with the calls that are to be hung up, at once and if it is still so when looked at again."""
    return [call.reason for call in plan.intruders], [call.reason for call in plan.possible_intruders]


@pytest.mark.parametrize(
    ("call", "at_once", "later"),
    [
        (Call("747713001", "527", application="park"), [], []),
        (Call("747713001", "527", application="conference"), [], []),
        (Call("747713001", "527", application=""), [], []),
        (Call("747713001", "527", application="answer"), [], []),
        (Call("747713001", "527", application="uuid_bridge"), [], ["runs uuid_bridge"]),
        (Call("747713001", "527", application="playback"), [], ["runs playback"]),
        (Call("answer,sofia_sla:u9", "527", application="sofia_sla", replaces=True), ["asked for another call"], []),
        (Call("answer,park", "527", application="park", replaces=True), ["asked for another call"], []),
        (Call("answer,conference:x", "527", application="", replaces=True), ["asked for another call"], []),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_call_that_is_where_none_can_be(call: Call, at_once: list[str], later: list[str], known: bool) -> None:
    sessions = [session("parked")] if known else []
    plan = compare(IDS, sessions, [], {}, {"u1": call}, lambda _: True)
    assert hung_up(plan) == (at_once, later)
    assert [one.channel for one in (*plan.intruders, *plan.possible_intruders)] == ["u1"] * len(at_once + later)
    # A call that is on its way, or out, becomes no session.
    starts = not known and call.application in ("park", "conference") and not call.replaces
    assert [type(one) for one in plan.events] == [SessionFound] * starts
    assert hung_up(compare(IDS, [], [], {}, {"u1": call}, lambda _: False)) == ([], [])


@pytest.mark.parametrize("known", [True, False])
def test_a_call_in_a_conference_that_is_no_room(known: bool) -> None:
    """Also one that no event has told of: it becomes no session."""
    sessions, call = [session("parked")] if known else [], Call("747713001", "527", application="conference")
    plan = compare(IDS, sessions, [], {}, {"u1": call}, lambda _: True, elsewhere={"u1"})
    assert hung_up(plan) == ([], ["is in a conference that is no room"])
    assert (plan.possible_intruders[0].channel, plan.events) == ("u1", [])
    assert hung_up(compare(IDS, [], [], {}, {"u1": call}, lambda _: False, elsewhere={"u1"})) == ([], [])


def test_a_dialled_call_in_a_conference_that_is_no_room() -> None:
    dialled = {"u1": "conference"}
    plan = compare(
        IDS, [session("parked")], [], {}, {}, lambda _: True, dialled=dialled, trusts_list=True, elsewhere={"u1"}
    )
    assert hung_up(plan) == ([], ["is in a conference that is no room"])
    assert plan.possible_intruders[0].channel == "u1"


def test_calls_of_others_in_conferences_of_others() -> None:
    plan = compare(IDS, [session("parked")], [], {}, CALL, lambda _: True, elsewhere={"u9"})
    assert (hung_up(plan), plan.events, plan.orphans) == (([], []), [], [])


def test_conferences_that_are_no_rooms() -> None:
    members = {ROOM: [{"uuid": "u1"}], "foo": [{"uuid": "u2"}, {"type": "recording_node"}], "empty": []}
    said = [{"conference_name": name, "members": there} for name, there in members.items()]
    assert read_elsewhere(read_list(json.dumps([*said, {"conference_name": "bare"}]))) == {"u2"}


def test_a_member_that_is_no_session() -> None:
    plan = compare(
        IDS, [], [{"id": ROOM, "closing": False}], {"x": MemberOnNode(ROOM, 5, ("muted",))}, {}, lambda _: True
    )
    assert hung_up(plan) == ([], ["joined a room unasked"])
    (member,) = plan.possible_intruders
    assert (member.room_id, member.member_id, member.channel) == (ROOM, 5, "")


LEG = {"id": "leg1", "room": ROOM}


@pytest.mark.parametrize(
    ("stored", "there", "expected"),
    [
        ({**LEG, "member_id": 7}, MemberOnNode(ROOM, 7, ()), []),
        ({**LEG, "member_id": 7}, MemberOnNode(ROOM, 8, ()), [LegJoined(leg="leg1", room_id=ROOM, member_id=8)]),
        ({**LEG, "member_id": 7}, MemberOnNode(OTHER, 7, ()), [LegLeft(leg="leg1", room_id=ROOM)]),
        ({**LEG, "member_id": 7}, None, [LegLeft(leg="leg1", room_id=ROOM)]),
        (LEG, MemberOnNode(ROOM, 7, ("muted",)), [LegJoined(leg="leg1", room_id=ROOM, member_id=7)]),
        (LEG, None, []),
    ],
)
def test_a_leg(stored: dict[str, Any], there: MemberOnNode | None, expected: list[Any]) -> None:
    rooms = [{"id": ROOM, "closing": False, "legs": [stored]}]
    plan = compare(IDS, [], rooms, {"leg1": there} if there else {}, {}, lambda _: True)
    assert plan.events == expected
    assert hung_up(plan) == ([], [])


@pytest.mark.parametrize("broken", [False, True])
def test_a_leg_that_the_store_does_not_know_is_over(broken: bool) -> None:
    rooms = [] if broken else [{"id": ROOM, "closing": False}]
    members = {"leg1": MemberOnNode(ROOM, 5, ())}
    plan = compare(
        IDS, [], rooms, members, {}, lambda _: True, broken={ROOM} if broken else (), legs={"leg1", "dialled"}
    )
    assert plan.stray_legs == ([] if broken else ["leg1"])
    assert hung_up(plan) == ([], [])


def test_legs_of_a_list() -> None:
    names = {"u1": "sofia/bridge/bcX79@127.0.0.1", "u2": "sofia/public/sofia/bridge@192.0.2.1"}
    rows = [{"uuid": uuid, "name": name} for uuid, name in names.items()]
    assert read_legs(read_list(json.dumps({"row_count": 2, "rows": rows}))) == {"u1"}
    assert read_legs(read_list(json.dumps({"row_count": 0}))) == set()


@pytest.mark.parametrize("rooms", [[], [{"id": ROOM, "closing": True}]])
def test_a_conference_without_a_room_is_to_be_emptied(rooms: list[dict[str, Any]]) -> None:
    plan = compare(IDS, [], rooms, {"x": MemberOnNode(ROOM, 5, ("muted",))}, {}, lambda _: True)
    assert plan.orphans == [ROOM]


@pytest.mark.parametrize(
    ("state", "playing", "differs"),
    [
        ("queued", "media.example/a.wav", False),
        ("queued", "media.example/b.wav", True),
        ("queued", None, True),
        ("sent", None, False),
        ("sent", "media.example/b.wav", False),
        ("sent", "media.example/a.wav", True),
    ],
)
def test_a_file_that_the_store_and_the_node_do_not_agree_about(state: str, playing: str | None, differs: bool) -> None:
    head = {"operation": "op1", "index": 0, "state": state, "url": "http://media.example/a.wav"}
    expected = PlaybackDrift(ROOM, "op1", 0, state) if differs else None
    assert compare_playback({"id": ROOM, "head": head}, playing) == expected


@pytest.mark.parametrize(
    ("playing", "stopping", "differs"),
    [(None, False, False), ("media.example/a.wav", True, False), ("media.example/a.wav", False, True)],
)
def test_a_room_that_shall_play_nothing(playing: str | None, stopping: bool, differs: bool) -> None:
    expected = PlaybackDrift(ROOM, "", 0, "stopped") if differs else None
    assert compare_playback({"id": ROOM, "stopping": stopping}, playing) == expected


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("+OK 0/0 media.example/a.wav\n", "media.example/a.wav"),
        ("+OK 0/0 media.example/a.WAV?key=1#.wav\n", "media.example/a.WAV?key=1"),
        ("+OK 0/0 !http://h/a.wav?e=1!http://h/b.wav?e=1#room:operation:0\n", "!http://h/a.wav?e=1!http://h/b.wav?e=1"),
        ("-ERR Nothing is playing\n", None),
    ],
)
def test_reading_what_plays(text: str, url: str | None) -> None:
    assert read_playing(text) == url


# Calls that apps make


def test_reading_calls_that_the_node_has_made() -> None:
    printed = replies("27_number_dialled_and_answered.jsonl")["api show channels as json"]
    assert read_dialled(read_list(printed)) == {"7d444840-9dc0-41d1-9245-5ffdce74fa01": "park"}
    assert read_calls(read_list(printed)) == {}
    # Legs, and what an operator has made himself.
    rows = [{"uuid": "u1", "direction": "outbound", "accountcode": "", "application": "park"}]
    assert read_dialled(read_list(json.dumps({"rows": rows}))) == {}


def answered() -> SessionAnswered:
    return SessionAnswered(session_id=SID, channel="u1")


@pytest.mark.parametrize(
    ("more", "is_there", "application", "events"),
    [
        # The node has not been told, has no such call, calls, and was answered.
        ({"is_waiting": True}, False, None, []),
        ({}, False, None, [SessionEnded(session_id=SID, cause="UNKNOWN")]),
        ({}, True, None, []),
        ({}, True, "", []),
        ({}, True, "park", [answered()]),
    ],
)
def test_a_call_that_is_dialled(
    more: dict[str, Any], is_there: bool, application: str | None, events: list[Any]
) -> None:
    dialled = {} if application is None else {"u1": application}
    row = {**session("dialing"), **more}
    plan = compare(IDS, [row], [], {}, {}, lambda _: is_there, dialled=dialled)
    assert plan == Plan(events=events)


def test_a_call_that_was_answered_and_is_in_a_room() -> None:
    members = {"u1": MemberOnNode(ROOM, 5, ("muted",))}
    room = {"id": ROOM, "closing": False}
    plan = compare(IDS, [session("dialing")], [room], members, {}, lambda _: True, dialled={"u1": "conference"})
    assert plan.events == [answered(), joined(ROOM, 5)]


@pytest.mark.parametrize("is_there", [False, True])
def test_a_call_that_was_dialled_and_is_no_session(is_there: bool) -> None:
    plan = compare(IDS, [], [], {}, {}, lambda _: is_there, dialled={"u1": "park"})
    found = [(call.channel, call.reason) for call in plan.possible_intruders]
    assert found == ([("u1", "was dialled, and is no session")] if is_there else [])


# Calls that are transferred to numbers


def test_reading_a_call_that_was_transferred() -> None:
    leg = "7d444840-9dc0-41d1-9245-5ffdce74fb0"
    printed = replies("38_call_transferred_and_answered.jsonl")["api show channels as json"]
    (caller,) = read_calls(read_list(printed))
    assert read_calls(read_list(printed))[caller].application == "bridge"
    assert read_dialled(read_list(printed)) == {f"{leg}1": "sched_hangup"}
    assert read_answered(read_list(printed)) == {caller, f"{leg}1"}
    # The number rings: of that call not even the account code is listed.
    ringing = replies("39_call_transferred_and_not_answered.jsonl")["api show channels as json"]
    assert (read_dialled(read_list(ringing)), read_answered(read_list(ringing))) == ({}, set())


def over() -> TransferOver:
    return TransferOver(session_id=SID, leg="u2", cause="UNKNOWN")


@pytest.mark.parametrize("state", ["transferring", "transferred"])
@pytest.mark.parametrize(
    ("application", "is_there", "is_answered", "expected"),
    [
        # It rings, or has not been called yet; the caller is parked again; it has answered; the call is about to end.
        ("bridge", True, False, []),
        ("set", False, False, []),
        ("park", True, False, []),
        ("park", False, False, [over()]),
        ("bridge", True, True, [SessionTransferred(session_id=SID, leg="u2")]),
        ("bridge", False, False, []),
    ],
)
def test_a_call_that_is_transferred(
    state: str, application: str, is_there: bool, is_answered: bool, expected: list[Any]
) -> None:
    row = {**session(state), "transfer": "u2"}
    calls = {"u1": Call("747713001", "527", application=application)}
    dialled = {"u2": "sched_hangup"} if is_answered else {}
    plan = compare(
        IDS,
        [row],
        [],
        {},
        calls,
        lambda channel: channel == "u1" or is_there,
        dialled=dialled,
        answered={"u1", *dialled},
    )
    told = [one for one in expected if not (state == "transferred" and isinstance(one, SessionTransferred))]
    assert plan == Plan(events=told)


def test_a_call_that_is_transferred_and_still_in_its_room() -> None:
    """The node has never got the command."""
    row = {**session("transferring", ROOM, 5), "transfer": "u2"}
    members = {"u1": MemberOnNode(ROOM, 5, ("muted",))}
    calls = {"u1": Call("747713001", "527", application="conference")}
    room = {"id": ROOM, "closing": False}
    plan = compare(IDS, [row], [room], members, calls, lambda channel: channel == "u1")
    assert plan.events == [over()]


def test_a_call_that_runs_what_a_transfer_does_and_is_not_transferred() -> None:
    calls = {"u1": Call("747713001", "527", application="bridge")}
    plan = compare(IDS, [session("parked")], [], {}, calls, lambda _: True)
    assert [call.reason for call in plan.possible_intruders] == ["runs bridge"]


# Recordings

RECORDING, ANOTHER = "0f8fad5bd9cb469fa16570867728950e", "1" * 32


def of_recordings(
    states: dict[str, str], found: dict[str, Recorded], *, restarted: bool = False
) -> tuple[list[object], list[tuple[str, str]]]:
    plan = Plan()
    compare_recordings(plan, [{"id": one, "state": state} for one, state in states.items()], found, restarted)
    return list(plan.events), plan.stray_recordings


def test_recordings_that_go_on_are_left_alone() -> None:
    found = {RECORDING: Recorded("/r/a.wav", "room"), ANOTHER: Recorded("/r/b.wav", "room", paused=True)}
    assert of_recordings({RECORDING: "recording", ANOTHER: "paused"}, found) == ([], [])
    assert of_recordings({RECORDING: "stopping", ANOTHER: "stopping"}, found) == ([], [])
    # Of a call it is not told whether it is paused.
    assert of_recordings({RECORDING: "paused"}, {RECORDING: Recorded("/r/a.wav")}) == ([], [])


@pytest.mark.parametrize("state", ["recording", "paused", "stopping"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_recording_that_has_ended(state: str, restarted: bool) -> None:
    ended = RecordingEnded(recording_id=RECORDING, node_lost=restarted)
    assert of_recordings({RECORDING: state}, {}, restarted=restarted) == ([ended], [])


def test_a_recording_that_begins_is_decided_by_its_command() -> None:
    assert of_recordings({RECORDING: "starting"}, {}) == ([], [])
    started = RecordingStarted(recording_id=RECORDING)
    assert of_recordings({RECORDING: "starting"}, {RECORDING: Recorded("/r/a.wav", "room")}) == ([started], [])
    # But not by a node that has restarted.
    lost = RecordingEnded(recording_id=RECORDING, node_lost=True)
    assert of_recordings({RECORDING: "starting"}, {}, restarted=True) == ([lost], [])


@pytest.mark.parametrize("state", ["storing", "available", "failed"])
def test_a_recording_that_should_not_go_on(state: str) -> None:
    found = {RECORDING: Recorded("/r/a.wav", "room"), ANOTHER: Recorded("/r/b.wav", "room")}
    assert of_recordings({RECORDING: state}, found) == ([], [("room", "/r/a.wav"), ("room", "/r/b.wav")])


def test_a_room_s_recording_that_was_paused_or_resumed() -> None:
    paused = RecordingChanged(recording_id=RECORDING, done="paused")
    found = {RECORDING: Recorded("/r/a.wav", "room", paused=True)}
    assert of_recordings({RECORDING: "recording"}, found) == ([paused], [])
    resumed = RecordingChanged(recording_id=RECORDING, done="resumed")
    assert of_recordings({RECORDING: "paused"}, {RECORDING: Recorded("/r/a.wav", "room")}) == ([resumed], [])


def test_what_the_node_says_of_recordings() -> None:
    jobs = [
        row["raw"]
        for row in map(json.loads, (TRACES / "41_room_recorded.jsonl").read_text().splitlines())
        if "recording_node" in row.get("raw", "")
    ]
    lists = [read_recordings(read_list(job.rpartition("\n\n")[2])) for job in jobs]
    (playing,), (paused,) = (each.items() for each in lists)
    assert playing[0] == paused[0] == RECORDING
    assert (playing[1].paused, paused[1].paused) == (False, True)
    assert playing[1].path.endswith(f"/{RECORDING}.wav")
    taps = "<media-bugs>\n <media-bug>\n  <target>/r/" + RECORDING + ".wav</target>\n </media-bug>\n</media-bugs>\n"
    assert read_taps(taps) == {RECORDING: Recorded(f"/r/{RECORDING}.wav")}


# Who is heard by one member alone


def test_relations_are_read() -> None:
    """Shape: trace 40."""
    said = "7 -> 3 NOSPEAK HEAR NOSENDVIDEO \n7 -> 12 NOSPEAK HEAR NOSENDVIDEO \n7 -> 5 SPEAK NOHEAR NOSENDVIDEO \n"
    assert read_relations(said, 7) == {3, 12}
    assert read_relations("17 -> 3 NOSPEAK HEAR NOSENDVIDEO \n", 7) == set()
    assert read_relations("+OK No relationships\n", 7) == set()
    assert read_relations("-ERR no reply\n", 7) == set()


@pytest.mark.parametrize(
    ("related", "differs"),
    [({3, 9}, False), ({3, 9, 99}, False), ({3}, True), (set(), True), ({2, 3, 9}, True)],
)
def test_a_coach_is_compared_with_the_node(related: set[int], differs: bool) -> None:
    member = {"room": ROOM, "state": "joined"}
    sessions = [
        {"id": "coach", "member_id": 1, "coaches": "coached", **member},
        {"id": "coached", "member_id": 2, **member},
        {"id": "other", "member_id": 3, **member},
        {"id": "elsewhere", "room": OTHER, "member_id": 4},
        {"id": "joining", "room": ROOM, "state": "joining"},
    ]
    legs = [{"id": "leg", "room": ROOM, "member_id": 9}, {"id": "coming", "room": ROOM, "member_id": None}]
    asked = []

    def ask(room: str, member_id: int) -> set[int]:
        asked.append((room, member_id))
        return related

    found = compare_relations(sessions, [{"id": ROOM, "legs": legs}, {"id": OTHER}], ask)
    assert found == ([RelationsLost(session_id="coach")] if differs else [])
    assert asked == [(ROOM, 1)]
    assert compare_relations(sessions[1:], [], ask) == []
