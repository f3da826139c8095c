"""What a node's worker keeps to: it takes nothing without a lease, and looks again soon after each link."""

from __future__ import annotations

import json
import time
from typing import Any

import gevent
import pytest
from gevent.queue import Queue

from controller.metrics import drift, intruders
from controller.nodes.worker import AUDIT_AGAIN_SECONDS, Fenced, NodeWorker
from controller.registry import Node, Registry
from controller.store import keys
from esl import commands as esl
from esl.event import Event
from tests.integration.world import NODE, SESSION_KEY, World
from tests.open_store import OpenStore

ANSWERS = {"CoreUuid": "c0ffee", "JsonList": "[]", "ShowChannels": '{"row_count": 0}'}


class Wire:
    """In the place of a connection, to a node with nothing on it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.closed = False

    def bgapi(self, command: Any, *, job_uuid: str = "") -> None:
        self.sent.append(command)

    def api(self, command: Any) -> str:
        return ANSWERS.get(type(command).__name__, "-ERR")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def world(store: OpenStore) -> World:
    return World(store)


@pytest.fixture
def worker(store: OpenStore) -> NodeWorker:
    node = Node(prefix=NODE, esl="127.0.0.1:9", password="x", sip="", profile="default", source="file")
    worker = NodeWorker(store, Registry(store), node, "owner", 1, session_key=SESSION_KEY, audit_seconds=30.0)
    worker._connection = Wire()  # type: ignore[assignment]
    return worker


def waiting(world: World) -> list[str]:
    entries = world.store.client.xrange(keys.key(world.tag, "commands", NODE))
    return [entry.decode() for entry, _ in entries]


def ask_to_join(world: World) -> list[str]:
    world.ask("join", session_id=world.park(), room_id=world.create())
    return waiting(world)


def test_nothing_is_taken_without_a_lease(world: World, worker: NodeWorker) -> None:
    entries = ask_to_join(world)
    worker._lease_until = time.monotonic() - 1
    with pytest.raises(Fenced):
        worker.take(world.tag, entries)
    assert waiting(world) == entries
    worker._lease_until = time.monotonic() + 60
    worker.take(world.tag, entries)
    assert waiting(world) == []
    assert len(worker._connection.sent) == 1  # type: ignore[union-attr]


def test_a_lease_that_ends_after_the_taking_ends_the_link(
    world: World, worker: NodeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = ask_to_join(world)
    wire = worker._connection
    run_many = worker._run_many

    def slowly(steps: Any) -> Any:
        answers = run_many(steps)
        worker._lease_until = time.monotonic() - 1
        return answers

    monkeypatch.setattr(worker, "_run_many", slowly)
    with pytest.raises(Fenced):
        worker.take(world.tag, entries)
    assert (wire.sent, wire.closed) == ([], True)  # type: ignore[union-attr]


def test_the_audit_looks_soon_after_every_link(worker: NodeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Queue()

    def look(_: object) -> float:
        looked.put(True)
        return 3600.0

    monkeypatch.setattr("controller.nodes.worker.AUDIT_SOON_SECONDS", 0.01)
    monkeypatch.setattr(worker, "_audit_once", look)
    auditor = gevent.spawn(worker._audit)
    try:
        for _ in range(2):
            worker._look.set()
            assert looked.get(timeout=5)
    finally:
        auditor.kill()


def test_the_audit_looks_when_the_node_is_late(world: World, worker: NodeWorker) -> None:
    worker.sweep()
    ask_to_join(world)
    worker.sweep()
    assert not worker._look.is_set()
    # As if it had been asked three seconds ago.
    due = keys.key(world.tag, "due", NODE)
    for item, _ in world.store.client.zscan_iter(due):
        world.store.client.zincrby(due, -3000, item)
    worker.sweep()
    assert worker._look.is_set()
    # What was found is looked at again in its time.
    worker._look.clear()
    worker._suspects = frozenset({"an orphan"})
    worker.sweep()
    assert not worker._look.is_set()


def test_the_audit_watches_for_a_play_that_counts_as_failed(world: World, worker: NodeWorker) -> None:
    """The node may still fetch the file, and play it when it has it."""
    wire: Any = Wire()
    worker._up(wire)
    assert worker._audit_once(wire) > AUDIT_AGAIN_SECONDS
    world.play(world.create(), "https://media.example/a.wav")
    worker.take(world.tag, waiting(world))
    assert len(wire.sent) == 1
    worker._up(wire)
    assert worker._audit_once(wire) == AUDIT_AGAIN_SECONDS


def test_what_differs_twice_is_put_right_and_counted(world: World, worker: NodeWorker) -> None:
    wire: Any = Wire()
    worker._up(wire)
    session = world.park()
    world.webhooks()
    counted = drift.labels(NODE)._value.get()
    assert worker._audit_once(wire) == AUDIT_AGAIN_SECONDS
    assert (world.webhooks(), drift.labels(NODE)._value.get()) == ([], counted)
    worker._audit_once(wire)
    ((kind, data),) = world.webhooks()
    assert (kind, data["uuid"], data["resynced"]) == ("session.ended", session, True)
    assert drift.labels(NODE)._value.get() == counted + 1


def test_a_call_that_version_0_1_stored_is_the_same_call(world: World, worker: NodeWorker) -> None:
    """With calls up while the worker is replaced by this version."""
    session, channel = world.park(), "00000000-0000-4000-9000-000000000001"
    old = f"{NODE}-{channel}"
    world.store.client.rename(keys.key(world.tag, "session", session), keys.key(world.tag, "session", old))
    world.store.client.hdel(keys.key(world.tag, "session", old), "channel")
    world.store.client.sadd(keys.key(world.tag, "node_sessions", NODE), old)
    world.store.client.srem(keys.key(world.tag, "node_sessions", NODE), session)
    world.webhooks()

    class Busy(Wire):
        def api(self, command: Any) -> str:
            return "true" if command == esl.ChannelExists(channel) else super().api(command)

    worker._up(Busy())  # type: ignore[arg-type]
    assert world.webhooks() == []
    hangup = f"Event-Name: CHANNEL_HANGUP_COMPLETE\nUnique-ID: {channel}\nHangup-Cause: NORMAL_CLEARING\n\n"
    worker._happened([Event(hangup.encode())])
    ((kind, data),) = world.webhooks()
    assert (kind, data["uuid"]) == ("session.ended", old)


# Calls that are where none of ours can be

EVE = "00000000-0000-4000-9000-0000000000ee"
HANGUP = esl.Hangup(EVE, "CALL_REJECTED")


def event(name: str, channel: str = EVE, **headers: str) -> Event:
    lines = {"Event-Name": name, "Unique-ID": channel, "Call-Direction": "inbound", "Caller-Network-Addr": "192.0.2.7"}
    lines |= {header.replace("_", "-"): value for header, value in headers.items()}
    return Event("".join(f"{header}: {value}\n" for header, value in lines.items()).encode())


def joins(room: str, channel: str = EVE, **headers: str) -> Event:
    return event("CUSTOM", channel, Action="add-member", Conference_Name=room, Member_ID="7", Speak="false", **headers)


def counted() -> float:
    return float(intruders.labels(NODE)._value.get())


def row(application: str, **fields: str) -> dict[str, str]:
    usual = {"uuid": EVE, "direction": "inbound", "initial_dest": "747713001", "cid_num": "527", "ip_addr": "192.0.2.7"}
    return {**usual, "application": application, "initial_dialplan": "XML", **fields}


class Showing(Wire):
    """A node with calls on it."""

    def __init__(self, *rows: dict[str, str], members: str = "[]") -> None:
        super().__init__()
        self._answers = {"ShowChannels": json.dumps({"rows": rows}), "JsonList": members, "ChannelExists": "true"}

    def api(self, command: Any) -> str:
        return self._answers.get(type(command).__name__) or super().api(command)


def test_a_call_that_asks_for_another_is_hung_up_before_the_store_is_asked(
    worker: NodeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, wire = counted(), worker._connection

    def away(steps: Any) -> Any:
        assert wire.sent == [HANGUP]  # type: ignore[union-attr]
        return [{} for _ in steps]

    monkeypatch.setattr(worker, "_run_many", away)
    pong = event("BACKGROUND_JOB", Job_UUID="p01-1-0", Job_Command="uptime")
    worker._happened([pong, event("CHANNEL_CREATE", Caller_Dialplan="inline")])
    assert counted() == before + 1


def test_a_call_that_is_hung_up_again_is_counted_once(worker: NodeWorker) -> None:
    before, asks = counted(), event("CHANNEL_CREATE", Caller_Dialplan="inline")
    worker._happened([asks, event("CHANNEL_BRIDGE")])
    assert (worker._connection.sent, counted()) == ([HANGUP] * 2, before + 1)  # type: ignore[union-attr]
    worker._happened([event("CHANNEL_HANGUP_COMPLETE", Hangup_Cause="CALL_REJECTED")])
    assert worker._intruders == set()


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_member_that_is_no_session_is_kicked_and_hung_up_if_it_called(
    world: World, worker: NodeWorker, direction: str
) -> None:
    room, before = world.create(), counted()
    joined = Event(joins(room).raw.replace(b"inbound", direction.encode()))
    worker._happened([joined])
    expected = [esl.Kick(room, 7), HANGUP] if direction == "inbound" else [esl.Kick(room, 7)]
    assert (worker._connection.sent, counted()) == (expected, before + 1)  # type: ignore[union-attr]


def test_a_session_is_no_intruder_before_nor_after_its_end(world: World, worker: NodeWorker) -> None:
    """When a link comes up, the events of a call come after the comparison that found it gone."""
    room, session, before = world.create(), world.park(), counted()
    mine = joins(room, "00000000-0000-4000-9000-000000000001")
    worker._happened([mine])
    world.tell("session_ended", session_id=session, cause="UNKNOWN")
    worker._apps.clear()
    worker._happened([mine])
    assert (worker._connection.sent, counted()) == ([], before)  # type: ignore[union-attr]


def test_a_link_that_comes_up_finds_who_has_asked_for_another_call(world: World, worker: NodeWorker) -> None:
    wire: Any = Showing(row("sofia_sla", initial_dialplan="inline"))
    worker._connection, before = wire, counted()
    worker._up(wire)
    assert (set(wire.sent), counted(), world.webhooks()) == ({HANGUP}, before + 1, [])


@pytest.mark.parametrize("application", ["", "answer"])
def test_a_call_in_the_midst_of_answering_lives(worker: NodeWorker, application: str) -> None:
    wire: Any = Showing(row(application))
    worker._connection, before = wire, counted()
    worker._up(wire)
    for _ in range(3):
        worker._audit_once(wire)
    assert (wire.sent, counted()) == ([], before)


def test_a_call_that_is_elsewhere_twice_is_hung_up(worker: NodeWorker) -> None:
    wire: Any = Showing(row("uuid_bridge"))
    worker._connection, before = wire, counted()
    worker._up(wire)
    worker._audit_once(wire)
    assert (wire.sent, counted()) == ([], before)
    worker._audit_once(wire)
    assert (wire.sent, counted()) == ([HANGUP], before + 1)


def test_a_member_that_no_event_told_of_is_kicked(world: World, worker: NodeWorker) -> None:
    room = world.create()
    member = {"uuid": EVE, "id": 7, "flags": {"can_speak": False}}
    wire: Any = Showing(members=json.dumps([{"conference_name": room, "members": [member]}]))
    worker._connection = wire
    worker._up(wire)
    worker._audit_once(wire)
    worker._audit_once(wire)
    assert wire.sent == [esl.Kick(room, 7)]
