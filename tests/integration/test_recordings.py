"""Recordings, from the command to a relay, and what becomes of one when something fails."""

from __future__ import annotations

from typing import Any

import pytest

from controller.limits import QUOTAS
from controller.registry import Registry, new_app
from controller.store import keys
from esl.commands import RecordRoom
from tests.integration.fake_link import DrivenNode, event, settle
from tests.integration.world import AN_HOUR_MS, IDS, NODE, NODES, World, channel
from tests.open_store import OpenStore

MEMBER = IDS.of(channel(1))
UPLOAD = "https://storage.example.com/standup.wav?signature=3f9a"


def told(world: World) -> list[tuple[str, str | None]]:
    """The webhooks of recordings since the last time, each with its reason if it has one."""
    return [(kind, data.get("reason")) for kind, data in world.webhooks() if "recording" in kind]


def one_of(world: World, op: str, node: str = NODE) -> dict[str, Any]:
    """The command of that kind among those that wait; all are taken."""
    (found,) = [each for each in world.sent(node) if each["op"] == op]
    return found


@pytest.fixture
def room(world: World) -> str:
    """With member 1 in it."""
    room = world.create()
    world.joined(room)
    world.sent()
    world.webhooks()
    return room


def begun(world: World, room: str, **more: Any) -> str:
    """A recording of the room that the node has confirmed."""
    recording = str(world.record(room, **more)["recording_id"])
    world.answer(one_of(world, "record")["job"])
    world.tell("recording_started", recording_id=recording)
    return recording


def ended(world: World, recording: str, **more: Any) -> None:
    world.tell("recording_ended", recording_id=recording, **more)


def overdue(world: World, **more: Any) -> None:
    """All that waits has waited long enough."""
    due = keys.key(world.tag, "due", NODE)
    for item in world.store.client.zrange(due, 0, -1):
        world.store.client.zadd(due, {item: 0})
    world.tell("overdue", **more)


def test_a_room_from_the_command_to_its_file(world: World, room: str) -> None:
    answer = world.record(room, command_uid="rec", upload_url=UPLOAD)
    recording = answer["recording_id"]
    assert answer == {"recording_id": recording, "status": "starting"}
    sent = one_of(world, "record")
    assert (sent["room"], sent["recording"], sent["channels"]) == (room, recording, 1)
    assert UPLOAD not in str(sent)
    world.answer(sent["job"])
    assert told(world) == []
    assert world.tell("recording_started", recording_id=recording)["command"] == "record"
    ((kind, data),) = world.webhooks()
    assert (kind, data["recording_id"], data["command_uid"]) == ("conference.recording.started", recording, "rec")

    world.control(recording, "pause", command_uid="p")
    sent = one_of(world, "pause_recording")
    world.tell("recording_changed", recording_id=recording, done="paused")
    world.answer(sent["job"])
    world.control(recording, "resume", command_uid="r")
    sent = one_of(world, "resume_recording")
    world.answer(sent["job"])
    world.tell("recording_changed", recording_id=recording, done="resumed")
    assert [(kind, data["command_uid"]) for kind, data in world.webhooks()] == [
        ("conference.recording.paused", "p"),
        ("conference.recording.resumed", "r"),
    ]

    assert world.control(recording, "stop", command_uid="s")["status"] == "stopping"
    world.answer(one_of(world, "stop_recording")["job"])
    ended(world, recording, length_ms=61240, size=979884)
    ((kind, data),) = world.webhooks()
    assert kind == "conference.recording.stopped"
    assert (data["reason"], data["duration"], data["size"], data["command_uid"]) == ("asked", 61.24, 979884, "s")
    assert world.recording(recording)["state"] == "storing"
    store = one_of(world, "store")
    assert store["recording"] == recording
    # The relay has it; the node's file goes.
    world.store.client.hset(keys.key(world.tag, "recording", recording), "state", "available")
    world.answer(store["job"])
    remove = one_of(world, "remove_file")
    world.answer(remove["job"], ok=False, reason="refused", text="-ERR http_put Command not found!")
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))
    assert not world.store.client.exists(keys.key(world.tag, "node_recordings", NODE))


def named(world: World, room: str) -> list[Any]:
    """The recording that each answer about a room names."""
    (row,) = (row for row in world.ask("list_rooms", limit=10, after=0)["rows"] if row["room_id"] == room)
    return [world.room(room)["recording"], row["recording"]]


def test_a_room_names_the_recording_that_goes_on(world: World, room: str) -> None:
    assert named(world, room) == [None, None]
    recording = begun(world, room)
    for step, done, state in (("pause", "paused", "paused"), ("resume", "resumed", "recording")):
        world.control(recording, step)
        world.tell("recording_changed", recording_id=recording, done=done)
        assert named(world, room) == [{"recording_id": recording, "state": state}] * 2
    world.control(recording, "stop")
    assert named(world, room) == [{"recording_id": recording, "state": "stopping"}] * 2
    ended(world, recording)
    assert named(world, room) == [None, None]


def test_a_call_names_the_recording_that_goes_on(world: World, room: str) -> None:
    recording = str(world.record_session(MEMBER)["recording_id"])
    shown = {"recording_id": recording, "state": "starting"}
    lists = [world.ask("list_members", room_id=room, limit=10, after=0), world.ask("list_sessions", limit=10, after=0)]
    assert [world.session(MEMBER)["recording"], *(row["recording"] for one in lists for row in one["rows"])] == [
        shown
    ] * 3
    assert world.room(room)["recording"] is None
    # Nobody can ask for it any more, also while the node has yet to end it.
    world.ask("delete_recording", recording_id=recording)
    assert world.session(MEMBER)["recording"] is None


@pytest.mark.parametrize("is_begun", [True, False])
def test_nothing_is_told_of_a_recording_that_is_deleted_before_it_begins(
    world: World, room: str, is_begun: bool
) -> None:
    recording = str(world.record(room)["recording_id"])
    sent = one_of(world, "record")
    world.ask("delete_recording", recording_id=recording)
    world.answer(sent["job"], ok=is_begun, reason=None if is_begun else "write_failed")
    if is_begun:
        world.tell("recording_started", recording_id=recording)
        assert one_of(world, "stop_recording")["recording"] == recording
        ended(world, recording)
    assert told(world) == []
    assert not world.recording(recording)


def test_a_call_with_two_channels(world: World) -> None:
    session = world.park()
    world.webhooks()
    recording = world.record_session(session, channels=2, command_uid="rec")["recording_id"]
    sent = one_of(world, "record")
    assert (sent["session"], sent["channels"]) == (session, 2)
    assert sent["channel"]
    # Its result is as good as its event.
    world.answer(sent["job"])
    world.tell("recording_started", recording_id=recording)
    ((kind, data),) = world.webhooks()
    assert (kind, data["uuid"], data["channels"]) == ("session.recording.started", session, 2)
    world.control(recording, "pause")
    world.answer(one_of(world, "pause_recording")["job"])
    world.control(recording, "resume")
    world.answer(one_of(world, "resume_recording")["job"])
    assert told(world) == [("session.recording.paused", None), ("session.recording.resumed", None)]
    ended(world, recording, length_ms=1000, hung_up=True)
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    assert [kind for kind, _ in world.webhooks()] == ["session.recording.stopped", "session.ended"]


@pytest.mark.parametrize(("lost", "reason"), [(False, "hangup"), (True, "node_lost")])
def test_a_call_that_ends_unseen(world: World, lost: bool, reason: str) -> None:
    session = world.park()
    recording = world.record_session(session)["recording_id"]
    world.answer(one_of(world, "record")["job"])
    world.webhooks()
    world.tell("session_ended", session_id=session, cause="UNKNOWN", node_lost=lost)
    assert told(world) == [("session.recording.stopped", reason)]
    assert one_of(world, "store")["recording"] == recording


def test_what_is_refused(world: World, room: str) -> None:
    empty = world.create("empty")
    assert world.record(empty)["refused"] == "room_empty"
    assert world.record(room, relay_live=False)["refused"] == "no_relay"
    none_left = {**QUOTAS, "recordings": 0}
    assert world.record(room, quotas=none_left)["refused"] == "quota_exceeded"
    recording = world.record(room, command_uid="rec")["recording_id"]
    assert world.record(room, command_uid="rec")["recording_id"] == recording
    assert world.record(room)["refused"] == "already_recording"
    assert world.control(recording, "pause")["refused"] == "recording_starting"
    world.tell("recording_started", recording_id=recording)
    assert world.control(recording, "resume")["refused"] == "not_paused"
    world.control(recording, "pause")
    assert world.control(recording, "pause")["refused"] == "recording_pending"
    world.tell("recording_changed", recording_id=recording, done="paused")
    assert world.control(recording, "pause")["refused"] == "already_paused"
    world.control(recording, "stop")
    assert world.control(recording, "stop")["refused"] == "recording_over"
    assert world.control("0" * 32, "stop")["refused"] == "recording_not_found"
    assert world.control(recording, "stop", app_id="other")["refused"] == "recording_not_found"
    ended(world, recording)
    assert world.record(room)["status"] == "starting"


@pytest.mark.parametrize("reason", ["no_members", "refused", "node_unreachable"])
def test_a_recording_that_does_not_begin(world: World, room: str, reason: str) -> None:
    recording = world.record(room, command_uid="rec")["recording_id"]
    world.answer(one_of(world, "record")["job"], ok=False, reason=reason)
    ((kind, data),) = world.webhooks()
    assert (kind, data["reason"], data["command_uid"]) == ("conference.recording.failed", reason, "rec")
    assert world.recording(recording)["state"] == "failed"
    assert world.record(room)["status"] == "starting"


def test_a_file_that_cannot_be_written(world: World, room: str) -> None:
    recording = world.record(room)["recording_id"]
    world.answer(one_of(world, "record")["job"])
    world.tell("recording_started", recording_id=recording, failed=True)
    ended(world, recording, length_ms=0)
    assert told(world) == [("conference.recording.failed", "write_failed")]


def test_it_is_stopped_before_it_has_begun(world: World, room: str) -> None:
    recording = world.record(room)["recording_id"]
    world.control(recording, "stop", command_uid="s")
    record = one_of(world, "record")
    world.answer(record["job"])
    # Only now, or the node might stop before it begins.
    world.tell("recording_started", recording_id=recording)
    assert one_of(world, "stop_recording")["recording"] == recording
    ended(world, recording, length_ms=20)
    assert one_of(world, "store")["recording"] == recording
    assert told(world) == [("conference.recording.started", None), ("conference.recording.stopped", "asked")]


def test_it_is_stopped_before_its_command_was_taken(world: World, room: str) -> None:
    recording = world.record(room)["recording_id"]
    assert world.control(recording, "stop")["status"] == "stopping"
    # A comparison finds that the node does not record it.
    ended(world, recording)
    assert [command["op"] for command in world.sent()] == ["store"]


def test_a_command_whose_result_is_lost(world: World, room: str) -> None:
    """What it may have recorded is kept."""
    recording = world.record(room)["recording_id"]
    record = one_of(world, "record")
    world.tell("jobs_lost")
    stop = one_of(world, "stop_recording")
    world.answer(record["job"])
    world.answer(stop["job"], ok=False, reason="no_recording")
    overdue(world)
    assert world.recording(recording)["state"] == "storing"
    store = one_of(world, "store")
    world.answer(store["job"], ok=False, reason="refused", text="-ERR http_put Command not found!")
    world.answer(one_of(world, "find_file")["job"], ok=False, reason="no_file")
    assert told(world) == [("conference.recording.failed", "file_lost")]


def test_nothing_confirms_that_it_begins(world: World, room: str) -> None:
    recording = world.record(room)["recording_id"]
    world.answer(one_of(world, "record")["job"])
    overdue(world)
    assert one_of(world, "stop_recording")["recording"] == recording
    ended(world, recording, length_ms=100)
    assert world.recording(recording)["reason"] == "not_confirmed"


def test_a_stop_that_is_lost_is_sent_again(world: World, room: str) -> None:
    recording = begun(world, room)
    world.control(recording, "stop")
    world.sent()
    world.tell("jobs_lost")
    overdue(world)
    assert one_of(world, "stop_recording")["recording"] == recording


def test_a_pause_that_is_lost_is_sent_once_more(world: World, room: str) -> None:
    recording = begun(world, room)
    world.webhooks()
    world.control(recording, "pause", command_uid="p")
    world.sent()
    world.tell("jobs_lost")
    world.answer(one_of(world, "pause_recording")["job"], ok=False, reason="no_answer")
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["recording_id"]) == ("conference.command.failed", "pause_recording", recording)
    assert (data["reason"], data["command_uid"]) == ("no_answer", "p")
    assert world.control(recording, "pause")["status"] == "paused"


def test_the_last_one_leaves(world: World, room: str) -> None:
    recording = begun(world, room)
    world.webhooks()
    world.left(MEMBER, room, cause="NORMAL_CLEARING")
    ended(world, recording, length_ms=100)
    assert told(world) == [("conference.recording.stopped", "room_emptied")]


def test_the_room_is_deleted(world: World, room: str) -> None:
    recording = begun(world, room)
    world.webhooks()
    world.ask("delete_room", room_id=room)
    assert one_of(world, "stop_recording")["recording"] == recording
    world.left(MEMBER, room)
    ended(world, recording, length_ms=100)
    assert told(world) == [("conference.recording.stopped", "room_destroyed")]
    assert one_of(world, "store")["recording"] == recording


def test_the_node_ends_it_by_itself(world: World, room: str) -> None:
    recording = begun(world, room)
    world.webhooks()
    ended(world, recording, length_ms=3040, size=28672)
    assert told(world) == [("conference.recording.stopped", "write_failed")]


def test_it_is_as_long_as_one_may_be(world: World, room: str) -> None:
    recording = begun(world, room)
    overdue(world, recordings={"max_ms": AN_HOUR_MS, "give_up_ms": AN_HOUR_MS})
    assert world.sent() == []
    overdue(world, recordings={"max_ms": 0, "give_up_ms": AN_HOUR_MS})
    assert one_of(world, "stop_recording")["recording"] == recording
    world.webhooks()
    ended(world, recording)
    assert told(world) == [("conference.recording.stopped", "max_length")]


def test_the_file_is_tried_until_a_relay_has_it(world: World, room: str) -> None:
    recording = begun(world, room)
    ended(world, recording, length_ms=100)
    store = one_of(world, "store")
    for again in range(1, 5):
        world.answer(store["job"], ok=False, reason="refused", text="-ERR http_put Command not found!")
        world.answer(one_of(world, "find_file")["job"])
        assert world.recording(recording)["tries"] == str(again)
        overdue(world)
        store = one_of(world, "store")
    # What the node did not even try does not count.
    world.answer(store["job"], ok=False, reason="relay_failed")
    assert world.recording(recording)["tries"] == "4"


@pytest.mark.parametrize(("up", "reason"), [(True, "not_stored"), (False, "node_lost")])
def test_it_is_given_up(world: World, room: str, up: bool, reason: str) -> None:
    recording = begun(world, room)
    ended(world, recording, length_ms=100)
    world.answer(one_of(world, "store")["job"], ok=False, reason="relay_failed")
    world.webhooks()
    more = {} if up else {"up": {}}
    overdue(world, recordings={"max_ms": AN_HOUR_MS, "give_up_ms": 0}, **more)
    assert told(world) == [("conference.recording.failed", reason)]


def test_the_node_is_away_when_the_file_is_to_be_stored(world: World, room: str) -> None:
    recording = begun(world, room)
    ended(world, recording, length_ms=100)
    overdue(world)
    assert world.sent() == []
    overdue(world)
    assert one_of(world, "store")["recording"] == recording


def test_a_room_that_records_by_itself(world: World) -> None:
    room = world.create()
    world.ask("change_room", room_id=room, options={"record": True})
    assert world.sent() == []
    session = world.joined(room)
    first = one_of(world, "record")["recording"]
    world.tell("recording_started", recording_id=first)
    second = world.joined(room, number=2)
    world.left(session, room)
    world.left(second, room, member_id=2)
    ended(world, first, length_ms=100)
    world.sent()
    world.joined(room, number=3)
    assert one_of(world, "record")["recording"] != first


@pytest.mark.parametrize(("quota", "used"), [("recordings", 1), ("recording_bytes", 1044)])
def test_a_room_that_records_by_itself_says_so_when_a_quota_is_used_up(store: OpenStore, quota: str, used: int) -> None:
    world = World(store, quotas={**QUOTAS, quota: used})
    other = world.create("other")
    world.joined(other, number=9)
    kept = begun(world, other)
    ended(world, kept, length_ms=62, size=1044)
    world.tell("recording_stored", recording_id=kept, holder="relay", size=1044, length_ms=62, keep_ms=AN_HOUR_MS)
    world.sent()
    world.webhooks()
    room = world.create()
    world.ask("change_room", room_id=room, options={"record": True})
    session = world.joined(room)
    world.joined(room, number=2)
    ((kind, data),) = [each for each in world.webhooks() if "recording" in each[0]]
    assert (kind, data["room_id"], data["reason"]) == ("conference.recording.failed", room, "quota_exceeded")
    assert not [each for each in world.sent() if each["op"] == "record"]
    # The room goes on, and is tried again once it has been empty.
    assert (world.room(room)["members"], world.room(room)["recording"]) == (2, None)
    assert world.ask("get_recording", recording_id=data["recording_id"])["refused"] == "recording_not_found"
    assert not world.recording(data["recording_id"])
    world.ask("delete_recording", recording_id=kept)
    world.left(session, room)
    world.left(IDS.of(channel(2)), room, member_id=2)
    world.joined(room, number=3)
    assert one_of(world, "record")["room"] == room
    assert told(world) == []


def test_a_node_is_not_told_to_record_when_a_quota_is_used_up(store: OpenStore, world: World, node: DrivenNode) -> None:
    Registry(store).put_app(new_app("demo", "a-key-of-the-app", own_quotas={"recordings": 0}))
    wire = node.up()
    room, session = world.create(), world.park()
    world.ask("change_room", room_id=room, options={"record": True})
    world.ask("join", session_id=session, room_id=room)
    world.webhooks()
    about = {"Conference_Name": room, "Member_ID": "1"}
    node.happened(event("CUSTOM", channel(1), Action="add-member", Speak="false", **about))
    assert [(kind, data.get("reason")) for kind, data in world.webhooks()] == [
        ("conference.member.joined", None),
        ("conference.recording.failed", "quota_exceeded"),
    ]
    settle(store)
    assert not [command for command in wire.sent if isinstance(command, RecordRoom)]


def test_a_room_is_told_to_record_when_a_quota_is_used_up(store: OpenStore) -> None:
    world = World(store, quotas={**QUOTAS, "recordings": 0})
    room = world.create()
    world.joined(room)
    world.webhooks()
    world.ask("change_room", room_id=room, options={"record": True})
    assert told(world) == [("conference.recording.failed", "quota_exceeded")]
    # Not at each change.
    world.ask("change_room", room_id=room, options={"locked": True})
    assert told(world) == []


def test_a_room_is_told_to_record_while_somebody_is_in_it(world: World, room: str) -> None:
    world.ask("change_room", room_id=room, options={"record": True})
    recording = one_of(world, "record")["recording"]
    world.ask("change_room", room_id=room, options={"record": False})
    world.tell("recording_started", recording_id=recording)
    assert world.recording(recording)["state"] == "recording"


def test_a_late_event_changes_nothing(world: World, room: str) -> None:
    recording = begun(world, room)
    ended(world, recording, length_ms=100)
    world.webhooks()
    world.tell("recording_started", recording_id=recording)
    world.tell("recording_changed", recording_id=recording, done="paused")
    ended(world, recording, length_ms=200)
    assert world.webhooks() == []
    assert world.tell("recording_ended", recording_id="0" * 32) == {"unknown": True}
    assert world.tell("recording_started", node=NODES[1], recording_id=recording) == {"unknown": True}


def test_a_room_is_recorded_no_more_by_itself_once_that_is_stopped(world: World) -> None:
    room = world.create()
    world.ask("change_room", room_id=room, options={"record": True})
    session = world.joined(room)
    recording = one_of(world, "record")["recording"]
    world.tell("recording_started", recording_id=recording)
    world.control(recording, "stop")
    ended(world, recording, length_ms=100)
    world.sent()
    second = world.joined(room, number=2)
    assert world.sent() == []
    # Until the room has been empty, or is told so again.
    world.left(session, room)
    world.left(second, room, member_id=2)
    world.joined(room, number=3)
    assert one_of(world, "record")


def test_a_room_that_is_recorded_by_itself_for_longer_than_a_recording_may_be(world: World) -> None:
    room = world.create()
    world.ask("change_room", room_id=room, options={"record": True})
    world.joined(room)
    first = one_of(world, "record")["recording"]
    world.tell("recording_started", recording_id=first)
    overdue(world, recordings={"max_ms": 0, "give_up_ms": AN_HOUR_MS})
    ended(world, first, length_ms=100)
    assert one_of(world, "record")["recording"] != first
