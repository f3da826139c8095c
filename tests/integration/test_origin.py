"""Who sent a command, and the trace of its request: with all that follows from it, and with nothing else."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller.sessions.flags import FLAGS
from controller.store import keys
from tests.integration.webhook_fixtures import Outbox, Receiver, Start
from tests.integration.world import NODE, World
from tests.open_store import OpenStore

MUTED, *_ = FLAGS
TRACES = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 10)]
ANN = {"actor": "operator:ann", "trace": TRACES[0]}
BOB = {"actor": "operator:bob", "trace": TRACES[1]}


@pytest.fixture
def world(store: OpenStore) -> World:
    return World(store)


def lines(world: World) -> list[dict[str, Any]]:
    return [orjson.loads(fields[b"e"]) for _, fields in world.store.client.xrange(keys.key(world.tag, "log"))]


def caused_by(world: World, origin: dict[str, str]) -> list[str]:
    """What is in the log with this actor and trace, and no line that has one of the two."""
    found = [line for line in lines(world) if {"actor", "trace"} & line.keys()]
    assert all({"actor", "trace"} <= line.keys() for line in found)
    return [f"{each['kind']} {each['type']}" for each in found if all(each[name] == origin[name] for name in origin)]


def traces(world: World) -> list[tuple[str, str]]:
    entries = world.store.client.xrange(keys.key(world.tag, "outbox"))
    return [(fields[b"type"].decode(), fields.get(b"trace", b"").decode()) for _, fields in entries]


def carry_out(world: World) -> None:
    for command in world.sent():
        world.answer(command["job"])


def test_a_join_and_a_leave_are_followed_to_their_webhooks(world: World) -> None:
    room, session = world.create(), world.park()
    world.ask("join", session_id=session, room_id=room, **ANN)
    carry_out(world)
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted"])
    assert caused_by(world, ANN) == [
        "state session.joining",
        "command join",
        "sent join",
        "answer join",
        "event add-member",
        "state session.joined",
        "webhook conference.member.joined",
    ]
    world.ask("leave", session_id=session, **BOB)
    carry_out(world)
    world.left(session, room)
    assert caused_by(world, BOB) == [
        "state session.leaving",
        "command leave",
        "sent kick",
        "answer kick",
        "event del-member",
        "state session.parked",
        "webhook conference.member.left",
    ]
    assert traces(world) == [
        ("conference.created", ""),
        ("session.started", ""),
        ("conference.member.joined", ANN["trace"]),
        ("conference.member.left", BOB["trace"]),
    ]


def test_a_flag_that_the_node_confirms_or_not_is_its_own_command_s(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.set_flag(session, MUTED, False, **ANN)
    world.set_flag(session, MUTED, True, **BOB)
    carry_out(world)
    world.tell("flag_changed", session_id=session, room_id=room, member_id=1, flag="muted", on=False)
    world.overdue()
    assert caused_by(world, ANN)[-2:] == ["event unmute-member", "webhook conference.member.unmuted"]
    assert caused_by(world, BOB)[-1] == "webhook conference.command.failed"
    # The next event of the member has nothing to do with either.
    world.left(session, room)
    assert traces(world)[-1] == ("conference.member.left", "")


def test_each_play_of_a_room_is_followed_to_its_end(world: World) -> None:
    room = world.create()
    world.joined(room)
    origins = {"op1": ANN, "op2": BOB}
    for operation, origin in origins.items():
        url = orjson.dumps(f"http://x.example/{operation}.wav").decode()
        world.ask("play", room_id=room, urls=[url], operation_id=operation, **origin)
    for operation in origins:
        carry_out(world)
        world.tell("file_done", room_id=room, operation_id=operation, index=0)
    for origin in origins.values():
        found = caused_by(world, origin)
        assert [line for line in found if line.startswith(("sent", "event"))] == ["sent play", "event play-file-done"]
        assert "webhook conference.play.finished" in found


def test_what_a_stop_ends_follows_from_the_stop(world: World) -> None:
    room = world.create()
    world.joined(room)
    world.ask("play", room_id=room, urls=['"http://x.example/a.wav"'], operation_id="op1", **ANN)
    world.ask("stop", room_id=room, **BOB)
    assert "webhook conference.play.stopped" in caused_by(world, BOB)
    assert "webhook conference.play.stopped" not in caused_by(world, ANN)


def test_the_parts_of_a_long_end_follow_from_the_stop_too(world: World) -> None:
    room = world.create()
    world.joined(room)
    urls = [orjson.dumps(f"http://x.example/{number}.wav").decode() for number in range(100)]
    for operation in ("op1", "op2", "op3"):
        world.ask("play", room_id=room, urls=urls, operation_id=operation, **ANN)
    world.ask("stop", room_id=room, **BOB)
    stopped = [line for line in caused_by(world, BOB) if line == "webhook conference.play.stopped"]
    assert len(stopped) == 3


def test_a_refused_command_says_who_sent_it(world: World) -> None:
    world.ask("leave", session_id="nobody", **ANN)
    assert caused_by(world, ANN) == ["refused leave"]


def test_nothing_is_stored_of_what_is_not_known(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.set_flag(session, MUTED, False)
    world.play(room, "http://x.example/a.wav")
    world.ask("leave", session_id=session)
    assert not any({"actor", "trace"} & line.keys() for line in lines(world))
    for key in world.store.client.scan_iter():
        if world.store.client.type(key) == b"hash":
            assert not [name for name in world.store.client.hkeys(key) if name.endswith((b"actor", b"trace"))], key
    waiting = world.store.client.xrange(keys.key(world.tag, "commands", NODE))
    assert waiting
    assert not any({"actor", "trace"} & orjson.loads(fields[b"c"]).keys() for _, fields in waiting)


def test_a_webhook_carries_the_trace_at_every_attempt(
    store: OpenStore, outbox: Outbox, receiver: Receiver, start: Start
) -> None:
    outbox.app("demo", receiver.url)
    receiver.responses.extend([b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"] * 4)
    world = World(store)
    world.ask("create_room", name="standup", room_id=f"{NODE}-room-1", node=NODE, **ANN)
    start()
    requests = receiver.wait(5)
    outbox.wait_until(lambda: outbox.is_settled("demo"))
    assert {request.headers["traceparent"] for request in requests} == {ANN["trace"]}
    assert {line["trace"] for line in outbox.log("demo")} == {ANN["trace"]}
