"""What a node's worker does about legs: it dials them, follows them by the node's events, and finds what it missed."""

from __future__ import annotations

from typing import Any

import pytest

from controller.errors import StoreUnavailable
from controller.registry import Node, Registry
from controller.store import keys
from esl import commands as esl
from tests.integration.fake_link import DrivenNode, event
from tests.integration.world import NODE, NODES, World, channel

_, SOURCE, _ = NODES
CALL = {
    "uuid": channel(1), "direction": "inbound", "initial_dest": "747713001", "cid_num": "1", "ip_addr": "::1",
    "application": "park", "initial_dialplan": "XML", "name": "sofia/public/1",
}  # fmt: skip
LEG_NAME = f"sofia/bridge/{NODE}@127.0.0.1"


def in_room(room: str, uuid: str) -> dict[str, Any]:
    flags = dict.fromkeys(("can_speak", "can_hear", "hold"), True)
    return {"conference_name": room, "members": [{"uuid": uuid, "id": "91", "flags": flags}]}


@pytest.fixture
def room(world: World) -> str:
    """A room on another node than the driven one."""
    Registry(world.store).put_node(Node(prefix=SOURCE, esl="192.0.2.9:8021", password="x"))
    room = f"{SOURCE}-room-00000000-0000-4000-8000-000000000001"
    world.ask("create_room", name="far", room_id=room, node=SOURCE)
    return room


def dial(world: World, node: DrivenNode, room: str) -> str:
    """Has a session of the node ask for the room, and the worker dial. Returns the leg's id."""
    world.ask("join", session_id=world.park(), room_id=room)
    (announced,) = world.sent(SOURCE)
    world.answer_on(SOURCE, announced)
    node.worker.take(world.tag, world.store.read(keys.key(world.tag, "commands", NODE)))
    return str(announced["leg"])


def joined(leg: str, room: str, name: str = LEG_NAME) -> Any:
    headers = {"Action": "add-member", "Conference_Name": room, "Member_ID": "91", "Channel_Name": name}
    return event("CUSTOM", leg, **headers)


def connect(world: World, node: DrivenNode, room: str) -> str:
    """Has both nodes say that they have the leg. Returns its id."""
    node.up()
    leg = dial(world, node, room)
    node.happened(joined(leg, room))
    world.tell("leg_joined", node=SOURCE, leg=leg, room_id=room, member_id=90)
    return leg


def test_a_leg_is_dialled_at_the_sources_address(world: World, node: DrivenNode, room: str) -> None:
    wire = node.up()
    leg = dial(world, node, room)
    assert wire.sent == [esl.DialLeg(leg, room, "default", "192.0.2.9:5090", NODE)]
    node.happened(joined(leg, room))
    world.tell("leg_joined", node=SOURCE, leg=leg, room_id=room, member_id=90)
    assert world.room(room)["nodes"][1]["bridge"] == "connected"
    assert [command["op"] for command in world.sent()] == ["join"]


def test_a_source_that_was_removed_is_not_dialled(world: World, node: DrivenNode, room: str) -> None:
    wire = node.up()
    Registry(world.store).remove_node(SOURCE)
    world.webhooks()
    dial(world, node, room)
    assert wire.sent == []
    assert world.webhooks()[-1][1]["reason"] == "bridge_failed"


@pytest.mark.parametrize("known", [True, False])
def test_a_leg_that_nobody_waits_for_is_hung_up(world: World, node: DrivenNode, room: str, known: bool) -> None:
    wire = node.up()
    stray = "0aaaaaaa-0000-4000-8000-00000000000b"
    elsewhere = "zzzzz-room-00000000-0000-4000-8000-000000000009"
    node.happened(joined(stray, room if known else elsewhere))
    assert wire.sent == [esl.Hangup(stray)]


def test_a_link_that_comes_up_finds_a_leg_that_is_gone(world: World, node: DrivenNode, room: str) -> None:
    connect(world, node, room)
    node.link.down()
    node.up(CALL)
    assert world.room(room)["nodes"][1]["bridge"] == "down"


def test_a_link_that_comes_up_finds_a_leg_whose_event_was_missed(world: World, node: DrivenNode, room: str) -> None:
    node.up()
    leg = dial(world, node, room)
    world.tell("leg_joined", node=SOURCE, leg=leg, room_id=room, member_id=90)
    node.link.down()
    node.up(CALL, members=[in_room(room, leg)])
    assert world.room(room)["nodes"][1]["bridge"] == "connected"


def test_a_link_that_comes_up_ends_a_leg_that_is_over(world: World, node: DrivenNode, room: str) -> None:
    leg = connect(world, node, room)
    node.link.down()
    world.tell("leg_left", node=SOURCE, leg=leg, room_id=room, cause="MEDIA_TIMEOUT")
    # The command that hangs it up is too old by the time.
    world.overdue(kind="job")
    wire = node.up(
        {"uuid": leg, "direction": "outbound", "name": f"sofia/bridge/{room}@192.0.2.9"}, members=[in_room(room, leg)]
    )
    assert wire.sent == [esl.Hangup(leg)]


def test_a_leg_whose_source_cannot_be_looked_up_holds_up_no_other_command(
    world: World, node: DrivenNode, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> bytes | None:
        raise StoreUnavailable

    wire = node.up()
    near = world.create()
    world.ask("join", session_id=world.park(), room_id=room)
    (announced,) = world.sent(SOURCE)
    world.answer_on(SOURCE, announced)
    world.ask("join", session_id=world.park(2), room_id=near)
    monkeypatch.setattr(world.store, "registry_version", away)
    node.worker.take(world.tag, world.store.read(keys.key(world.tag, "commands", NODE)))
    assert wire.sent == [esl.Join(channel(2), near, "default")]
