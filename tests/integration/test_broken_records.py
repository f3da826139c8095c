"""Wrong records in the store, such as garbage, an unknown kind or a missing field: each is logged, and harms nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import gevent
import pytest
from gevent.event import Event as Flag

from controller.media.client import Direct
from controller.nodes.lease import NodeLease
from controller.nodes.node_worker import NodeWorker
from controller.nodes.worker import Worker
from controller.registry import Node, Registry
from controller.store import keys
from controller.store.store import Store
from esl import commands as esl
from tests.integration.fake_link import DrivenNode, event
from tests.integration.world import NODE, SESSION_KEY, World, channel
from tests.open_store import OpenStore


def key(world: World, name: str, identifier: str = NODE) -> str:
    return keys.key(world.tag, name, identifier)


def spoil(world: World, name: str, record: str, field: str, value: str | None) -> None:
    """None: the field is missing."""
    if value is None:
        assert world.store.client.hdel(key(world, name, record), field)
    else:
        world.store.client.hset(key(world, name, record), field, value)


def call(number: int) -> dict[str, str]:
    return {
        "uuid": channel(number),
        "direction": "inbound",
        "initial_dest": "747713001",
        "cid_num": "527",
        "ip_addr": "192.0.2.7",
        "application": "conference",
        "initial_dialplan": "XML",
        "name": "sofia/public/5271@127.0.0.1",
    }


def conference(room: str, *numbers: int) -> dict[str, Any]:
    """As `json_list` shows it, with members that are muted."""
    flags = {"can_speak": False, "can_hear": True, "hold": False}
    return {
        "conference_name": room,
        "members": [{"uuid": channel(number), "id": number, "flags": flags} for number in numbers],
    }


def late(world: World) -> None:
    """As if nothing that is expected had come in its time."""
    due = key(world, "due")
    for item in world.store.client.zrange(due, 0, -1):
        world.store.client.zadd(due, {item: 0})


# The comparison with the node


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("session", "app", None),
        ("session", "channel", "no channel's uuid"),
        ("session", "member_id", "nan"),
        ("room", "app", None),
        ("room", "operation", None),
        ("room", "operation", "op1"),
    ],
)
def test_a_broken_record_keeps_no_node_down_and_is_left_alone(
    world: World, node: DrivenNode, name: str, field: str, value: str | None
) -> None:
    room, other = world.create("a"), world.create("b")
    sessions = [world.joined(room, 1), world.joined(other, 2)]
    gone = world.park(3)
    # An operation that has lost its record.
    world.store.client.rpush(key(world, "operations", room), "op1")
    world.store.client.hset(key(world, "room", other), "operation", "")
    spoil(world, name, {"session": sessions[0], "room": room}[name], field, value)
    world.webhooks()
    wire = node.up(call(1), call(2), members=[conference(room, 1), conference(other, 2)])
    wire.answers["ChannelExists"] = "false"
    assert world.store.is_reachable(NODE)
    # Nobody is taken out of the room, and nothing is found twice.
    for _ in range(2):
        node.audit.compare_once()
    assert not [command for command in wire.sent if isinstance(command, esl.Kick | esl.Hangup)]
    assert [data["uuid"] for kind, data in world.webhooks() if kind == "session.ended"] == [gone]


# A node's events and commands


def test_events_that_come_with_one_that_fails_are_taken_once(world: World, node: DrivenNode) -> None:
    node.up()
    broken, sound = world.joined(world.create("a"), 1), world.park(2)
    room = world.create("b")
    world.ask("join", session_id=sound, room_id=room)
    world.store.client.hset(key(world, "session", broken), "state", "sideways")
    world.webhooks()
    about = {"Conference_Name": room, "Member_ID": "2"}
    node.happened(
        event("CUSTOM", channel(2), Action="add-member", Speak="false", **about),
        event("CUSTOM", channel(2), Action="unmute-member", **about),
        event("CHANNEL_HANGUP_COMPLETE", channel(1), Hangup_Cause="NORMAL_CLEARING"),
        event("CUSTOM", channel(2), Action="del-member", **about),
    )
    told = [(kind, data["uuid"]) for kind, data in world.webhooks()]
    expected = ["conference.member.joined", "conference.member.unmuted", "conference.member.left"]
    assert told == [(kind, sound) for kind in expected]


@pytest.mark.parametrize(
    "garbage",
    ["no JSON", "7", "{}", '{"op":"play","app":"demo"}', '{"op":"mute","app":"demo","room":{}}', '{"op":7,"room":"r"}'],
)
def test_commands_that_are_taken_with_garbage_are_sent(world: World, node: DrivenNode, garbage: str) -> None:
    wire = node.up()
    room, session = world.create(), world.park()
    world.store.client.xadd(key(world, "commands"), {"c": garbage})
    world.ask("join", session_id=session, room_id=room)
    node.worker.take(world.tag, world.store.read(key(world, "commands")))
    assert [type(command) for command in wire.sent] == [esl.Join]
    assert world.store.client.xlen(key(world, "commands")) == 0


def test_garbage_among_the_commands_that_were_sent_keeps_no_result_back(world: World, node: DrivenNode) -> None:
    room, session = world.create(), world.park()
    world.ask("join", session_id=session, room_id=room)
    world.sent()
    world.store.client.hset(key(world, "sent"), "p00-0-0", "no JSON")
    world.webhooks()
    node.up(call(1))
    assert world.types() == ["conference.member.join_failed"]
    assert world.store.client.hlen(key(world, "sent")) == 0


# What is overdue


@pytest.mark.parametrize("garbage", ["unheard-of:1", "job:p00-0-0", "garbage"])
def test_what_is_overdue_with_garbage_is_handled(world: World, node: DrivenNode, garbage: str) -> None:
    node.up()
    room, session = world.create(), world.park()
    world.ask("join", session_id=session, room_id=room)
    world.store.client.zadd(key(world, "due"), {f"{garbage}{number}": 0 for number in range(20)})
    world.store.client.hset(key(world, "sent"), "p00-0-00", "no JSON")
    world.webhooks()
    late(world)
    while world.store.client.zcard(key(world, "due")):  # a tick takes only so long
        node.tick()
    assert world.types() == ["conference.member.join_failed"]


def test_a_deleted_room_is_forgotten_when_a_member_cannot_be_taken_out(world: World, node: DrivenNode) -> None:
    room, other = world.create("a"), world.create("b")
    broken, sound, elsewhere = world.joined(room, 1), world.joined(room, 2), world.joined(other, 3)
    world.store.client.hset(key(world, "session", broken), "state", "sideways")
    world.store.client.sadd(key(world, "present", room), elsewhere)
    world.ask("delete_room", room_id=room)
    world.webhooks()
    late(world)
    node.tick()
    assert [(kind, data["uuid"]) for kind, data in world.webhooks()] == [("conference.member.left", sound)]
    assert not world.store.client.exists(key(world, "room", room), key(world, "present", room))
    assert world.session(elsewhere)["room_id"] == other


def test_a_partition_that_cannot_be_swept_holds_up_no_other(world: World, node: DrivenNode) -> None:
    tag = next(tag for tag in keys.TAGS if tag != world.tag)
    world.store.client.set(keys.key(tag, "due", NODE), "garbage")
    room, session = world.create(), world.park()
    world.ask("join", session_id=session, room_id=room)
    world.webhooks()
    late(world)
    node.up(call(1))
    node.tick()
    node.tick()
    assert world.types() == ["conference.member.join_failed"]
    # The room and the session of the partition that is sound.
    assert world.store.loads([NODE])[NODE][0] == 2


def test_a_fence_that_is_garbage_is_raised_anew(world: World, store: Store) -> None:
    world.store.client.set(key(world, "fence"), "garbage")
    lease = NodeLease.take(store, NODE, "owner")
    assert lease
    lease.raise_fence()
    assert world.store.client.get(key(world, "fence")) == b"%d" % lease.token


def test_an_end_of_playback_that_is_broken_keeps_no_command_back(world: World, node: DrivenNode) -> None:
    """What is left of the endings is emitted later."""
    room = world.create()
    world.joined(room)
    for number in range(4):
        world.play(room, *["https://media.example/a.wav"] * 100, operation=f"op{number}")
    world.webhooks()
    world.store.client.delete(key(world, "operation", "op2"))
    assert "refused" not in world.ask("stop", room_id=room)
    world.webhooks()
    assert world.store.client.exists(key(world, "ending", room))
    late(world)
    node.tick()
    assert [data["operation_id"] for _, data in world.webhooks()] == ["op3"]


# Listings


@pytest.mark.parametrize(("field", "value"), [("created_at", None), ("name", None), ("created_at", "nan")])
def test_a_broken_room_is_left_out_of_lists(world: World, field: str, value: str | None) -> None:
    broken, sound = world.create("a"), world.create("b")
    spoil(world, "room", broken, field, value)
    assert [row["room_id"] for row in world.ask("list_rooms", limit=9, after=0)["rows"]] == [sound]
    assert world.ask("list_rooms", limit=9, after=0, name="a")["rows"] == []


@pytest.mark.parametrize(
    ("field", "value"), [("started_at", None), ("did", None), ("state", None), ("started_at", "9" * 12)]
)
def test_a_broken_session_is_left_out_of_lists(world: World, field: str, value: str | None) -> None:
    broken, sound = world.park(1), world.park(2)
    spoil(world, "session", broken, field, value)
    assert [row["session_id"] for row in world.ask("list_sessions", limit=9, after=0)["rows"]] == [sound]


def test_a_broken_member_is_left_out_of_lists(world: World) -> None:
    room = world.create()
    broken, sound = world.joined(room, 1), world.joined(room, 2)
    world.store.client.hdel(key(world, "session", broken), "caller_id")
    assert [row["session_id"] for row in world.ask("list_members", room_id=room, limit=9, after=0)["rows"]] == [sound]


def test_text_that_is_no_utf_8_is_shown_all_the_same(world: World) -> None:
    room = world.create()
    world.store.client.hset(key(world, "room", room), "name", b"caf\xe9")
    assert [row["name"] for row in world.ask("list_rooms", limit=9, after=0)["rows"]] == ["caf\ufffd"]


def test_a_session_without_its_start_can_end(world: World) -> None:
    session = world.park()
    world.store.client.hdel(key(world, "session", session), "started_at")
    world.webhooks()
    world.tell("session_ended", session_id=session, cause="X")
    ((kind, data),) = world.webhooks()
    assert (kind, data["duration"]) == ("session.ended", 0)


@pytest.mark.parametrize(("field", "value"), [("status", "unheard-of"), ("at", "nan"), ("lane", None)])
def test_a_broken_delivery_is_left_out_of_lists(world: World, field: str, value: str | None) -> None:
    for number in (1, 2):
        fields = {"type": "conference.created", "lane": "r", "at": 1, "status": "failed", "attempts": 1}
        world.store.client.hset(key(world, "delivery", f"{number}-0"), mapping=fields)
        world.store.client.zadd(keys.key(world.tag, "deliveries", world.app_id, "failed"), {f"{number}-0": number})
    spoil(world, "delivery", "1-0", field, value)
    assert [row["id"] for row in world.ask("list_deliveries", limit=9, after=0)["rows"]] == ["2-0"]


# A worker with two nodes

OTHER = "bbbbb"


@pytest.fixture
def worker(store: OpenStore, server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """Not started. Its nodes do not answer."""
    monkeypatch.setattr("controller.nodes.worker.TICK_SECONDS", 0.02)
    with closing(Store.connect(server_url, cluster=True)) as cluster:
        registry = Registry(store)
        for prefix in (NODE, OTHER):
            registry.put_node(Node(prefix=prefix, esl="127.0.0.1:9", password="x"))
        worker = Worker(cluster, registry, reader=cluster, owner="owner", session_key=SESSION_KEY, relays=Direct())
        yield worker
        worker.stop()


def holds(store: OpenStore, *prefixes: str) -> None:
    with gevent.Timeout(30):
        while store.holders(prefixes).keys() != set(prefixes):
            gevent.sleep(0.005)


@pytest.mark.parametrize(("broken", "sound"), [(NODE, OTHER), (OTHER, NODE)])
def test_a_node_whose_lease_cannot_be_renewed_ends_no_other(
    store: OpenStore, worker: Worker, broken: str, sound: str
) -> None:
    worker.start()
    holds(store, NODE, OTHER)
    client, leases = store.client, {prefix: keys.key(keys.node_tag(prefix), "lease") for prefix in (broken, sound)}
    with client.pipeline() as pipe:  # at once: it is renewed all the time
        pipe.delete(leases[broken])
        pipe.hset(leases[broken], "garbage", "garbage")
        pipe.execute()
    # The other is renewed, which shows when it is gone: nobody else has taken it. The first time may be that of a round begun before.
    for _ in range(2):
        client.delete(leases[sound])
        holds(store, sound)


@pytest.mark.parametrize(("broken", "sound"), [(NODE, OTHER), (OTHER, NODE)])
def test_a_node_that_cannot_be_taken_keeps_no_other_from_being_taken(
    store: OpenStore, worker: Worker, broken: str, sound: str
) -> None:
    store.client.set(keys.key(keys.node_tag(broken), "token"), "garbage")
    worker.start()
    holds(store, sound)
    store.client.delete(keys.key(keys.node_tag(broken), "token"))
    holds(store, broken)


@pytest.mark.parametrize(("broken", "sound"), [(NODE, OTHER), (OTHER, NODE)])
def test_a_node_that_cannot_take_its_commands_keeps_no_other_from_it(
    store: OpenStore, worker: Worker, monkeypatch: pytest.MonkeyPatch, broken: str, sound: str
) -> None:
    taken = Flag()

    def take(node: NodeWorker, tag: str, entries: Sequence[str]) -> None:
        if node.node.prefix == broken:
            raise RuntimeError("trouble")
        taken.set()

    monkeypatch.setattr("controller.nodes.worker.NodeWorker.take", take)
    for prefix in (broken, sound):
        store.client.xadd(keys.key(keys.TAGS[0], "commands", prefix), {"c": "{}"})
    worker.start()
    assert taken.wait(30)
