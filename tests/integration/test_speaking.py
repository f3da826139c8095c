"""Who speaks in a room: asked for and published only while somebody watches."""

from __future__ import annotations

import json
from typing import Any

import gevent
import pytest
from gevent.queue import Empty, Queue
from structlog.testing import capture_logs

from controller.controller import Controller
from controller.errors import StoreUnavailable
from controller.live import Notice
from controller.media.client import Direct
from controller.nodes.worker import Worker
from controller.registry import Node, Registry
from controller.rooms.placement import Placement
from controller.speaking import Speaking
from controller.store import keys
from controller.store.store import Store
from tests.integration.fake_link import DrivenNode, Wire, event, settle
from tests.integration.world import NODE, SESSION_KEY, World, channel
from tests.open_store import OpenStore

ASKED = ["filter Action start-talking", "filter Action stop-talking"]
NOT_ASKED = ["filter delete Action start-talking", "filter delete Action stop-talking"]


class TalkingWire(Wire):
    """Also notes the commands of the Event Socket itself."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def send(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def wire(node: DrivenNode) -> TalkingWire:
    wire = TalkingWire()
    node.link.up(wire)
    return wire


@pytest.fixture
def speaking(store: OpenStore) -> Speaking:
    registry = Registry(store)
    return Speaking(store, Controller(store, registry, Placement(store, registry)).execute)


def talks(room: str, number: int = 1, action: str = "start-talking", **headers: Any) -> Any:
    return event("CUSTOM", channel(number), Action=action, Conference_Name=room, Member_ID=str(number), **headers)


def published(store: OpenStore, room: str) -> list[str]:
    return store.speaking([NODE], room)


def test_the_node_is_asked_only_while_somebody_watches(world: World, node: DrivenNode, wire: TalkingWire) -> None:
    room = world.create()
    node.worker.watch(())
    settle(world.store)
    assert wire.lines == []
    node.worker.watch({room})
    node.worker.watch({room})
    settle(world.store)
    assert wire.lines == ASKED
    node.worker.watch(())
    settle(world.store)
    assert wire.lines == ASKED + NOT_ASKED


def test_a_new_link_is_asked_anew(world: World, node: DrivenNode, wire: TalkingWire) -> None:
    room = world.create()
    node.worker.watch({room})
    settle(world.store)
    node.link.down()
    node.worker.watch({room})
    again = TalkingWire()
    node.link.up(again)
    node.worker.watch({room})
    settle(world.store)
    assert again.lines == ASKED


def test_who_talks_already_when_the_watching_begins(world: World, node: DrivenNode, wire: TalkingWire) -> None:
    room = world.create()
    session = world.joined(room)
    flags = {"can_speak": True, "can_hear": True, "hold": False, "talking": True}
    listed = [{"conference_name": room, "members": [{"id": 1, "uuid": channel(1), "flags": flags}]}]
    wire.answers["JsonList"] = json.dumps(listed)
    node.worker.watch({room})
    settle(world.store)
    assert published(world.store, room) == [session]


def test_who_speaks_is_published_for_seconds(world: World, node: DrivenNode, wire: TalkingWire) -> None:
    room = world.create()
    session = world.joined(room)
    node.worker.watch({room})
    node.happened(talks(room))
    assert published(world.store, room) == [session]
    key = keys.key(keys.node_tag(NODE), "speaking", room)
    assert 0 < world.store.client.pttl(key) <= 5000
    # It goes on for as long as it is watched, without another event.
    world.store.client.pexpire(key, 1000)
    node.worker.watch({room})
    assert world.store.client.pttl(key) > 1000
    node.happened(talks(room, action="stop-talking"))
    assert published(world.store, room) == []


@pytest.mark.parametrize("action", ["mute-member", "del-member"])
def test_who_is_muted_or_leaves_speaks_no_more(world: World, node: DrivenNode, wire: TalkingWire, action: str) -> None:
    """The node does not say so by `stop-talking`."""
    room = world.create()
    session = world.joined(room)
    node.worker.watch({room})
    node.happened(talks(room))
    assert published(world.store, room) == [session]
    node.happened(talks(room, action=action))
    assert published(world.store, room) == []


def test_of_rooms_that_nobody_watches_nothing_is_written(world: World, node: DrivenNode, wire: TalkingWire) -> None:
    room, other = world.create(), world.create("other")
    world.joined(room)
    node.worker.watch({other})
    settle(world.store)
    before = world.store.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    node.happened(talks(room))
    assert world.store.client.info("commandstats")["cmdstat_evalsha"]["calls"] == before
    assert published(world.store, room) == []


def test_a_link_that_is_lost_forgets_who_spoke(world: World, node: DrivenNode, wire: TalkingWire) -> None:
    room = world.create()
    world.joined(room)
    node.worker.watch({room})
    settle(world.store)
    node.happened(talks(room))
    node.link.down()
    node.worker.watch({room})
    node.link.up(TalkingWire())
    node.worker.watch({room})
    settle(world.store)
    assert published(world.store, room) == []


def test_legs_do_not_speak(world: World, node: DrivenNode, wire: TalkingWire) -> None:
    room = world.create()
    node.worker.watch({room})
    node.happened(talks(room, Channel_Name="sofia/bridge/leg@10.0.0.5"))
    assert published(world.store, room) == []


def test_whoever_looks_is_told_and_the_watching_ends(
    world: World, node: DrivenNode, speaking: Speaking, wire: TalkingWire
) -> None:
    room = world.create()
    session = world.joined(room)
    told: Queue[Notice] = Queue()
    stop = speaking.follow("demo", room, told.put)
    assert told.get(timeout=30).data == {"app_id": "demo", "room_id": room, "sessions": []}
    assert world.store.watched() == {NODE: {room}}
    node.worker.watch({room})
    node.happened(talks(room))
    assert told.get(timeout=30).data["sessions"] == [session]
    # Another who looks at the same room is told at once.
    second: Queue[Notice] = Queue()
    stop_second = speaking.follow("demo", room, second.put)
    assert second.get(block=False).data["sessions"] == [session]
    stop()
    stop_second()
    node.happened(talks(room, action="stop-talking"))
    with pytest.raises(Empty):
        told.get(timeout=1)


def test_nothing_is_told_of_a_room_of_another_app(world: World, speaking: Speaking) -> None:
    room = world.create()
    told: Queue[Notice] = Queue()
    speaking.follow("other", room, told.put)
    with pytest.raises(Empty):
        told.get(timeout=0.5)
    assert world.store.watched() == {}


def test_who_watches_is_forgotten(world: World) -> None:
    world.store.run("watch", keys.REGISTRY, {"rooms": [f"{NODE} {world.create()}"], "ttl": 1})
    while world.store.watched():
        pass
    assert not world.store.client.exists(keys.key(keys.REGISTRY, "watched"))


def test_a_node_is_taken_and_held_though_it_is_not_known_who_watches(
    store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's looking is worth a lease."""
    asked: Queue[None] = Queue()

    def fail(_store: Store) -> dict[str, set[str]]:
        asked.put(None)
        raise StoreUnavailable("away")

    monkeypatch.setattr(Store, "watched", fail)
    registry = Registry(store)
    registry.put_node(Node(prefix=NODE, esl="127.0.0.1:1", password="x"))
    worker = Worker(store, registry, reader=store, owner="owner", session_key=SESSION_KEY, relays=Direct())
    with capture_logs() as lines:
        worker.start()
        try:
            asked.get(timeout=30)
            with gevent.Timeout(30):
                while store.holders([NODE]) != {NODE: "owner"} or not lines:
                    gevent.sleep(0.01)
        finally:
            worker.stop()
    assert "leases not renewed" not in [line["event"] for line in lines]


def test_who_looks_is_told_once_garbage_about_who_watches_is_gone(
    world: World, speaking: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.speaking.RETRY_SECONDS", 0.01)
    watched = keys.key(keys.REGISTRY, "watched")
    world.store.client.set(watched, "garbage")
    told: Queue[Notice] = Queue()
    with capture_logs() as lines, gevent.Timeout(30):
        stop = speaking.follow("demo", world.create(), told.put)
        while not lines:
            gevent.sleep(0.01)
    world.store.client.delete(watched)
    assert told.get(timeout=30).data["sessions"] == []
    stop()
