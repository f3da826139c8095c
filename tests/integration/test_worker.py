"""What a node's worker keeps to: it takes nothing without a lease, and looks again soon after each link."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gevent.queue import Queue
from prometheus_client import REGISTRY

from controller.errors import Fenced
from controller.nodes.audit import Audit, Intervals
from controller.nodes.history import NodeHistory
from controller.sessions.flags import FLAGS
from controller.store import keys
from controller.store.store import Entry
from esl import commands as esl
from esl.event import Event
from tests.integration.fake_link import DrivenNode, Wire, event, settle
from tests.integration.world import NODE, World, channel
from tests.open_store import OpenStore

AGAIN = Intervals.again


def counted(what: str) -> float:
    return REGISTRY.get_sample_value(f"switchroom_{what}_total", {"node": NODE}) or 0.0


def waiting(world: World) -> list[Entry]:
    return world.store.read(keys.key(world.tag, "commands", NODE))


def ask_to_join(world: World) -> list[Entry]:
    world.ask("join", session_id=world.park(), room_id=world.create())
    return waiting(world)


def test_nothing_is_taken_without_a_lease(world: World, node: DrivenNode) -> None:
    wire = node.up()
    entries = ask_to_join(world)
    node.let_lease_lapse()
    with pytest.raises(Fenced):
        node.worker.take(world.tag, entries)
    assert waiting(world) == entries
    node.renew_lease()
    node.worker.take(world.tag, entries)
    assert waiting(world) == []
    assert len(wire.sent) == 1


def test_a_lease_that_ends_after_the_taking_ends_the_link(
    world: World, node: DrivenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = node.up()
    entries = ask_to_join(world)
    run_each = world.store.run_each

    def slowly(steps: Any) -> Any:
        replies = run_each(steps)
        node.let_lease_lapse()
        return replies

    monkeypatch.setattr(world.store, "run_each", slowly)
    with pytest.raises(Fenced):
        node.worker.take(world.tag, entries)
    assert (wire.sent, wire.closed) == ([], True)


def test_a_command_that_cannot_be_sent_fails_and_holds_up_no_other(world: World, node: DrivenNode) -> None:
    wire = node.up()
    room = world.create()
    world.play(room, "https://media.example/\\.wav")
    world.ask("join", session_id=world.park(), room_id=room)
    world.webhooks()
    node.worker.take(world.tag, waiting(world))
    settle(world.store)
    assert [type(command) for command in wire.sent] == [esl.Join]
    assert world.types() == ["conference.command.failed", "conference.play.finished"]


class Watched(Wire):
    """Tells when it is compared."""

    def __init__(self, members: list[dict[str, Any]] | None = None) -> None:
        super().__init__(members=members)
        self.compared: Queue[bool] = Queue()

    def api(self, command: Any) -> str:
        if command == esl.JsonList():
            self.compared.put(True)
        return super().api(command)


@pytest.fixture
def audit(node: DrivenNode) -> Iterator[Audit]:
    """The node's, running."""
    node.audit.start()
    yield node.audit
    node.audit.stop()


@pytest.mark.usefixtures("audit")
def test_the_audit_looks_soon_after_every_link(node: DrivenNode) -> None:
    for _ in range(2):
        wire = Watched()
        node.link.up(wire)
        for _of in ("the link", "the audit"):
            assert wire.compared.get(timeout=30)


def age(world: World, seconds: int) -> None:
    """As if whatever waits had been asked for so much earlier."""
    due = keys.key(world.tag, "due", NODE)
    for item, _ in world.store.client.zscan_iter(due):
        world.store.client.zincrby(due, -1000 * seconds, item)


def test_the_audit_looks_when_the_node_is_late(world: World, node: DrivenNode) -> None:
    node.tick()
    ask_to_join(world)
    age(world, -60)  # not late, however slow this is
    node.tick()
    assert not node.audit.is_due_soon
    age(world, 63)
    node.tick()
    assert node.audit.is_due_soon


def test_a_node_is_counted_once_however_much_is_overdue(world: World, node: DrivenNode) -> None:
    node.up()
    room = world.create()
    for number in range(25):
        world.ask("join", session_id=world.park(number), room_id=room)
    age(world, 3600)
    node.tick()
    node.tick()  # publishes what the first has counted
    load, calls, _ = world.store.loads([NODE])[NODE]
    assert (load, calls) == (26, 25)


def test_what_was_found_is_looked_at_again_in_its_time(world: World, node: DrivenNode, audit: Audit) -> None:
    wire = Watched(members=[in_room(f"{NODE}-room-00000000-0000-4000-8000-000000000000")])
    node.link.up(wire)
    for _of in ("the link", "the audit"):
        assert wire.compared.get(timeout=30)
    assert audit.compare_once() == AGAIN
    audit.stop()
    ask_to_join(world)
    age(world, 3)
    node.tick()
    assert not audit.is_due_soon


def test_the_audit_watches_for_a_play_that_counts_as_failed(world: World, node: DrivenNode) -> None:
    """The node may still fetch the file, and play it when it has it."""
    wire = node.up()
    assert node.audit.compare_once() > AGAIN
    world.play(world.create(), "https://media.example/a.wav")
    node.worker.take(world.tag, waiting(world))
    settle(world.store)
    assert len(wire.sent) == 1
    node.link.up(wire)
    assert node.audit.compare_once() == AGAIN


def test_what_differs_twice_is_put_right_and_counted(world: World, node: DrivenNode) -> None:
    node.up()
    session = world.park()
    world.webhooks()
    before = counted("drift")
    assert node.audit.compare_once() == AGAIN
    assert (world.webhooks(), counted("drift")) == ([], before)
    node.audit.compare_once()
    ((kind, data),) = world.webhooks()
    assert (kind, data["uuid"], data["resynced"]) == ("session.ended", session, True)
    assert counted("drift") == before + 1


def test_a_call_that_version_0_1_stored_is_the_same_call(world: World, node: DrivenNode) -> None:
    """With calls up while the worker is replaced by this version."""
    session, old = world.park(), f"{NODE}-{channel(1)}"
    world.store.client.rename(keys.key(world.tag, "session", session), keys.key(world.tag, "session", old))
    world.store.client.hdel(keys.key(world.tag, "session", old), "channel")
    world.store.client.sadd(keys.key(world.tag, "node_sessions", NODE), old)
    world.store.client.srem(keys.key(world.tag, "node_sessions", NODE), session)
    world.webhooks()

    class Busy(Wire):
        def api(self, command: Any) -> str:
            return "true" if command == esl.ChannelExists(channel(1)) else super().api(command)

    node.link.up(Busy())
    assert world.webhooks() == []
    node.happened(event("CHANNEL_HANGUP_COMPLETE", channel(1), Hangup_Cause="NORMAL_CLEARING"))
    ((kind, data),) = world.webhooks()
    assert (kind, data["uuid"]) == ("session.ended", old)


# Calls that can be no session

EVE = "00000000-0000-4000-9000-0000000000ee"
HANGUP = esl.Hangup(EVE, "CALL_REJECTED")


def joins(room: str, channel: str = EVE) -> Event:
    return event("CUSTOM", channel, Action="add-member", Conference_Name=room, Member_ID="7", Speak="false")


def in_room(room: str) -> dict[str, Any]:
    """A conference, and somebody in it."""
    return {
        "conference_name": room,
        "members": [{"uuid": EVE, "id": 7, "flags": {"can_speak": False, "can_hear": True, "hold": False}}],
    }


def row(application: str, **fields: str) -> dict[str, str]:
    usual = {"uuid": EVE, "direction": "inbound", "initial_dest": "747713001", "cid_num": "527", "ip_addr": "192.0.2.7"}
    return {
        **usual,
        "application": application,
        "initial_dialplan": "XML",
        "name": "sofia/public/527@192.0.2.7",
        **fields,
    }


def test_a_call_that_asks_for_another_is_hung_up_before_the_store_is_asked(
    node: DrivenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire, before = node.up(), counted("intruders")

    def away(steps: Any) -> Any:
        assert wire.sent == [HANGUP]
        return [{} for _ in steps]

    monkeypatch.setattr("tests.open_store.OpenStore.run_each", lambda _, steps: away(steps))
    done = event("BACKGROUND_JOB", EVE, Job_UUID="p01-1-0", Job_Command="uptime")
    node.happened(done, event("CHANNEL_CREATE", EVE, Caller_Dialplan="inline"))
    assert counted("intruders") == before + 1


def test_a_call_that_is_hung_up_again_is_counted_once(node: DrivenNode) -> None:
    wire, before, asks = node.up(), counted("intruders"), event("CHANNEL_CREATE", EVE, Caller_Dialplan="inline")
    node.happened(asks, event("CHANNEL_BRIDGE", EVE))
    assert (wire.sent, counted("intruders")) == ([HANGUP] * 2, before + 1)
    # Once it has ended it is forgotten.
    node.happened(event("CHANNEL_HANGUP_COMPLETE", EVE, Hangup_Cause="CALL_REJECTED"))
    node.happened(asks)
    assert counted("intruders") == before + 2


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_member_that_is_no_session_is_kicked_and_hung_up_if_it_called(
    world: World, node: DrivenNode, direction: str
) -> None:
    wire, room, before = node.up(), world.create(), counted("intruders")
    node.happened(Event(joins(room).raw.replace(b"inbound", direction.encode())))
    expected = [esl.Kick(room, 7), HANGUP] if direction == "inbound" else [esl.Kick(room, 7)]
    assert (wire.sent, counted("intruders")) == (expected, before + 1)


def test_what_an_event_tells_of_meanwhile_was_not_missed(world: World, node: DrivenNode) -> None:
    """It was handled after the node's list was read, and the list is older than what the store knows."""
    node.up()
    room, before = world.create(), counted("drift")
    world.joined(room)
    node.audit.compare_once()
    for action in ("unmute-member", "mute-member"):
        node.happened(event("CUSTOM", channel(1), Action=action, Conference_Name=room, Member_ID="1"))
        node.audit.compare_once()
        assert counted("drift") == before
    node.audit.compare_once()
    assert counted("drift") == before + 1
    assert world.webhooks()[-1][0] == "session.ended"


def test_a_session_is_no_intruder_before_nor_after_its_end(world: World, node: DrivenNode, store: OpenStore) -> None:
    """When a link comes up, the events of a call come after the comparison that found it gone."""
    wire, room, session, before = node.up(), world.create(), world.park(), counted("intruders")
    mine = joins(room, channel(1))
    node.happened(mine)
    world.tell("session_ended", session_id=session, cause="UNKNOWN")
    another = DrivenNode(store)
    another_wire = another.up()
    another.happened(mine)
    assert (wire.sent, another_wire.sent, counted("intruders")) == ([], [], before)


def test_a_link_that_comes_up_finds_who_has_asked_for_another_call(world: World, node: DrivenNode) -> None:
    before = counted("intruders")
    wire = node.up(row("sofia_sla", initial_dialplan="inline"))
    assert (set(wire.sent), counted("intruders"), world.webhooks()) == ({HANGUP}, before + 1, [])


@pytest.mark.parametrize("application", ["", "answer"])
def test_a_call_in_the_midst_of_answering_lives(node: DrivenNode, application: str) -> None:
    before = counted("intruders")
    wire = node.up(row(application))
    for _ in range(3):
        node.audit.compare_once()
    assert (wire.sent, counted("intruders")) == ([], before)


def test_a_call_that_is_elsewhere_twice_is_hung_up(node: DrivenNode) -> None:
    before = counted("intruders")
    wire = node.up(row("uuid_bridge"))
    node.audit.compare_once()
    assert (wire.sent, counted("intruders")) == ([], before)
    node.audit.compare_once()
    assert (wire.sent, counted("intruders")) == ([HANGUP], before + 1)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_session_that_is_in_another_conference_twice_is_hung_up(
    world: World, node: DrivenNode, is_there: bool
) -> None:
    world.park()
    before, other = counted("intruders"), in_room("foo")
    other["members"][0]["uuid"] = channel(1) if is_there else EVE
    wire = node.up(row("conference", uuid=channel(1)), members=[other])
    node.audit.compare_once()
    assert (wire.sent, counted("intruders")) == ([], before)
    node.audit.compare_once()
    hung_up = [esl.Hangup(channel(1), "CALL_REJECTED")] if is_there else []
    assert (wire.sent, counted("intruders")) == (hung_up, before + is_there)


def test_a_member_that_no_event_told_of_is_kicked(world: World, node: DrivenNode) -> None:
    room = world.create()
    wire = node.up(members=[in_room(room)])
    node.audit.compare_once()
    node.audit.compare_once()
    assert wire.sent == [esl.Kick(room, 7)]


def test_an_event_that_the_store_cannot_take_holds_up_no_other(world: World, node: DrivenNode) -> None:
    node.up()
    broken, sound = world.joined(world.create("a"), 1), world.joined(world.create("b"), 2)
    world.store.client.hset(keys.key(world.tag, "session", broken), "state", "sideways")
    world.webhooks()
    node.happened(*(event("CHANNEL_HANGUP_COMPLETE", channel(number), Hangup_Cause="X") for number in (1, 2)))
    assert [data["uuid"] for kind, data in world.webhooks() if kind == "session.ended"] == [sound]
    # Nor does it keep the node from being resynced.
    node.link.down()
    node.up()
    assert world.store.is_reachable(NODE)


def gauge(name: str) -> float | None:
    return REGISTRY.get_sample_value(f"switchroom_{name}", {"node": NODE})


def test_a_node_is_shown_as_long_as_its_worker_holds_it(world: World, node: DrivenNode) -> None:
    room = world.create()
    lost, events = counted("links_lost"), counted("node_events")
    node.up(row("conference"), members=[in_room(room)])
    world.park(1)
    world.park(2)
    node.tick()
    assert (gauge("link_up"), gauge("rooms"), gauge("sessions"), gauge("members")) == (1, 1, 2, 1)
    node.happened(event("CHANNEL_HANGUP_COMPLETE", channel(1), Hangup_Cause="NORMAL_CLEARING"))
    assert counted("node_events") == events + 1
    node.tick()
    assert gauge("sessions") == 1
    node.link.down()
    assert (gauge("link_up"), counted("links_lost")) == (0, lost + 1)
    node.worker.stop()
    assert (gauge("link_up"), gauge("sessions")) == (None, None)


def confirmed(command: str) -> tuple[float, float]:
    """How often, and for how long (s) in all."""
    name, labels = "switchroom_command_confirmation_seconds", {"command": command}
    count, total = (REGISTRY.get_sample_value(f"{name}_{part}", labels) or 0.0 for part in ("count", "sum"))
    return count, total


def test_it_is_measured_how_long_a_node_takes_to_confirm(world: World, node: DrivenNode) -> None:
    node.up()
    room = world.create()
    before = {command: confirmed(command) for command in ("join", "unmute", "leave", "volume", "play")}
    session = world.park()
    world.ask("join", session_id=session, room_id=room)
    for _ in range(2):  # the second event confirms nothing more
        node.happened(joins(room, channel(1)))
    world.set_flag(session, FLAGS[0], False)
    node.happened(event("CUSTOM", channel(1), Action="unmute-member", Conference_Name=room, Member_ID="7"))
    world.play(room, "http://x.example/a.wav")
    (job,) = [command["job"] for command in world.sent() if command["op"] == "play"]
    node.happened(Event(f"Event-Name: BACKGROUND_JOB\nJob-UUID: {job}\nContent-Length: 4\n\n+OK\n".encode()))
    world.ask("leave", session_id=session)
    node.happened(event("CUSTOM", channel(1), Action="del-member", Conference_Name=room, Member_ID="7"))
    after = {command: confirmed(command) for command in before}
    assert {command: after[command][0] - before[command][0] for command in before} == {
        **{"join": 1, "unmute": 1, "leave": 1, "volume": 0, "play": 1}
    }
    assert all(0 <= after[command][1] - before[command][1] < 30 for command in before)


def test_what_no_command_asked_for_confirms_none(world: World, node: DrivenNode) -> None:
    node.up()
    room = world.create()
    session = world.joined(room)
    before = confirmed("unmute"), confirmed("leave")
    node.happened(event("CUSTOM", channel(1), Action="unmute-member", Conference_Name=room, Member_ID="1"))
    world.left(session, room)
    assert (confirmed("unmute"), confirmed("leave")) == before


def test_the_history_of_a_node_says_when_its_link_came_and_went(store: OpenStore, node: DrivenNode) -> None:
    node.up()
    node.link.down()
    history = NodeHistory(store, NODE)
    down, up = history.read()
    assert (up["what"], up["restarted"]) == ("up", False)
    assert (down["what"], down["reason"]) == ("down", "test")
    assert down["at"] >= up["at"]


def test_the_history_of_a_node_says_what_had_drifted_and_is_bounded(world: World, node: DrivenNode) -> None:
    node.up()
    session = world.park()
    history = NodeHistory(world.store, NODE)
    # The node does not know the call, and what differs twice is put right.
    node.audit.compare_once()
    node.audit.compare_once()
    drift = history.read()[0]
    assert drift["what"] == "drift"
    assert any(session in change for change in drift["changes"])
    # A channel's uuid is nobody's to see.
    assert channel(1) not in str(drift)
    for number in range(150):
        history.drifted([f"change {number}"] * 30)
    assert len(history.read()) == 100
    assert len(history.read()[0]["changes"]) == 21
