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


@pytest.mark.parametrize("action", ["mute-member", "hold-member", "del-member"])
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
    before = world.store.client.info("commandstats")["cmdstat_fcall"]["calls"]
    node.happened(talks(room))
    assert world.store.client.info("commandstats")["cmdstat_fcall"]["calls"] == before
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


# Rooms that ask for webhooks


@pytest.fixture
def told(world: World) -> str:
    room = world.create()
    world.ask("change_room", room_id=room, options={"speaker_events": True})
    return room


def floor(world: World) -> list[str]:
    return [data["uuid"] for kind, data in world.webhooks() if kind == "conference.speaker.changed"]


def later(world: World, room: str) -> None:
    """As if the last webhook of this kind had been some time ago."""
    world.store.client.hincrby(keys.key(world.tag, "room", room), "floor_at", -1000)


def speakers(world: World, room: str) -> list[str]:
    rows = world.ask("list_members", room_id=room, limit=100, after=0)["rows"]
    return [row["session_id"] for row in rows if row["speaking"]]


def say(world: World, room: str, *sessions: str, node: str = NODE) -> None:
    world.tell("speakers_changed", node=node, room_id=room, sessions=sessions, ttl=3_600_000)


def test_the_floor_is_kept_until_another_speaks_while_its_holder_is_silent(world: World, told: str) -> None:
    one, other = world.joined(told, 1), world.joined(told, 2)
    say(world, told, one)
    assert floor(world) == [one]
    later(world, told)
    say(world, told, one, other)
    assert (floor(world), speakers(world, told)) == ([], [one, other])
    say(world, told)
    assert (floor(world), speakers(world, told)) == ([], [])
    say(world, told, one)
    assert floor(world) == []
    say(world, told, other)
    assert floor(world) == [other]


def test_the_floor_changes_at_most_twice_a_second(world: World, told: str) -> None:
    one, other = world.joined(told, 1), world.joined(told, 2)
    say(world, told, one)
    world.store.client.hincrby(keys.key(world.tag, "room", told), "floor_at", 3_600_000)
    say(world, told, other)
    assert floor(world) == [one]
    world.store.client.hincrby(keys.key(world.tag, "room", told), "floor_at", -3_601_000)
    say(world, told, other)
    assert floor(world) == [other]


def test_one_who_leaves_gives_the_floor_up(world: World, told: str) -> None:
    session = world.joined(told)
    say(world, told, session)
    assert world.session(session)["speaking"]
    world.left(session, told)
    assert not world.session(session)["speaking"]
    later(world, told)
    world.tell("member_joined", session_id=session, room_id=told, member_id=7, flags=[])
    say(world, told, session)
    assert floor(world) == [session, session]


def test_the_floor_of_a_room_on_two_nodes(world: World, told: str) -> None:
    here, there = world.joined(told, 1), world.park(2, "bcX79")
    world.tell("member_joined", node="bcX79", session_id=there, room_id=told, member_id=2, flags=[])
    say(world, told, here)
    later(world, told)
    say(world, told, there, node="bcX79")
    assert (floor(world), speakers(world, told)) == ([here], [here, there])
    say(world, told)
    say(world, told, there, node="bcX79")
    assert (floor(world), speakers(world, told)) == ([there], [there])


def test_nothing_is_told_of_a_room_that_does_not_ask_or_is_deleted(world: World, told: str) -> None:
    session = world.joined(told)
    say(world, told, session)
    world.ask("change_room", room_id=told, options={"speaker_events": False})
    later(world, told)
    assert world.tell("speakers_changed", room_id=told, sessions=[session], ttl=1000) == {"unknown": True}
    world.ask("change_room", room_id=told, options={"speaker_events": True})
    assert world.tell("overdue")["speaker_rooms"] == [told]
    say(world, told, session)
    assert floor(world) == [session, session]
    world.ask("delete_room", room_id=told)
    assert world.tell("overdue")["speaker_rooms"] == []
    assert world.tell("speakers_changed", room_id=told, sessions=[session], ttl=1000) == {"unknown": True}
    world.left(session, told)
    for command in world.sent():
        world.answer(command["job"])
    assert world.leftovers(told) == []


def test_a_session_that_is_no_member_has_no_floor(world: World, told: str) -> None:
    elsewhere = world.joined(world.create("other"))
    say(world, told, elsewhere, "acW68-nobody")
    assert floor(world) == []


def test_undelivered_webhooks_leave_room_for_others(world: World, told: str) -> None:
    session = world.joined(told)
    quotas = {"webhook_bytes": 100}
    world.tell("speakers_changed", room_id=told, sessions=[session], ttl=1000, quotas=quotas)
    assert (floor(world), speakers(world, told)) == ([], [session])


def test_the_node_is_asked_for_a_room_that_is_told_of(
    world: World, told: str, node: DrivenNode, wire: TalkingWire
) -> None:
    session = world.joined(told)
    node.tick()
    node.worker.watch(())
    settle(world.store)
    assert wire.lines == ASKED
    world.webhooks()
    node.happened(talks(told))
    assert (floor(world), speakers(world, told)) == ([session], [session])
    assert published(world.store, told) == []
    node.happened(talks(told, action="stop-talking"))
    assert speakers(world, told) == []
    world.ask("change_room", room_id=told, options={"speaker_events": False})
    node.tick()
    node.worker.watch(())
    settle(world.store)
    assert wire.lines == ASKED + NOT_ASKED


def test_who_speaks_for_long_is_told_of_again(world: World, told: str, node: DrivenNode, wire: TalkingWire) -> None:
    session = world.joined(told)
    node.tick()
    node.worker.watch(())
    settle(world.store)
    node.happened(talks(told))
    world.store.client.delete(keys.key(world.tag, "speakers", told, NODE))
    node.worker.watch(())
    assert speakers(world, told) == [session]
