"""New rooms on the nodes that the store knows, near the app's calls that it knows."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import pytest

from controller.registry import Node, Registry
from controller.rooms.placement import Placement
from controller.store import keys
from controller.store.store import Load
from tests.integration.world import NODE, NODES, World
from tests.open_store import OpenStore

OTHER = NODES[1]


def publish(store: OpenStore, prefix: str, load: int, calls: int = 0) -> None:
    """As the node's worker does, to which it is up."""
    counted = {"load": load, "calls": calls, "at": store.client.incr("published")}
    store.client.hset(keys.key(keys.node_tag(prefix), "live"), mapping=counted)


@pytest.fixture
def registry(store: OpenStore) -> Registry:
    registry = Registry(store)
    for prefix, load in ((NODE, 0), (OTHER, 50)):
        registry.put_node(Node(prefix=prefix, esl="127.0.0.1:1", password="p"))
        publish(store, prefix, load)
    return registry


@pytest.fixture
def placement(store: OpenStore, registry: Registry) -> Placement:
    """With a clock by which nothing that it has read is fresh."""
    return Placement(store, registry, clock=itertools.count().__next__)


def test_a_room_goes_where_the_app_s_calls_wait(placement: Placement, world: World, store: OpenStore) -> None:
    assert placement.choose("demo") == NODE
    first, second = world.park(1, OTHER), world.park(2, OTHER)
    world.park(3, NODE)
    World(store, "second").park(4)
    World(store, "second").park(5)
    assert placement.choose("demo") == OTHER
    # Those who are in a room, or gone, wait no more.
    world.tell("session_ended", node=OTHER, session_id=first, cause="NORMAL_CLEARING")
    assert placement.choose("demo") == NODE
    world.tell("session_ended", node=OTHER, session_id=second, cause="NORMAL_CLEARING")
    assert store.run("waiting", world.tag, {"app_id": "demo"}) == {"waiting": {NODE: 1}}


def test_calls_in_rooms_do_not_wait(world: World, store: OpenStore) -> None:
    room = world.create()
    session = world.joined(room)
    assert store.run("waiting", world.tag, {"app_id": "demo"}) == {"waiting": {}}
    world.left(session, room)
    assert store.run("waiting", world.tag, {"app_id": "demo"}) == {"waiting": {NODE: 1}}


def test_the_newest_calls_count(world: World, store: OpenStore) -> None:
    """It takes no longer however many there are."""
    for number in range(1, 151):
        world.park(number, NODE if number <= 90 else OTHER)
    assert store.run("waiting", world.tag, {"app_id": "demo"}) == {"waiting": {NODE: 40, OTHER: 60}}


def test_rooms_given_since_the_last_count_are_load(placement: Placement, store: OpenStore) -> None:
    publish(store, OTHER, 4)
    assert Counter(placement.choose("demo") for _ in range(10)) == {NODE: 7, OTHER: 3}
    publish(store, NODE, 7)
    publish(store, OTHER, 7)
    assert Counter(placement.choose("demo") for _ in range(4)) == {NODE: 2, OTHER: 2}


def test_a_full_node_gets_no_room(placement: Placement, registry: Registry, store: OpenStore) -> None:
    registry.put_node(Node(prefix=NODE, esl="127.0.0.1:1", password="p", capacity=2))
    publish(store, NODE, 1, calls=1)
    assert placement.choose("demo") == NODE
    publish(store, NODE, 2, calls=2)
    assert placement.choose("demo") == OTHER


def test_a_worker_of_the_version_before_does_not_say_how_many_calls_there_are(
    placement: Placement, registry: Registry, store: OpenStore
) -> None:
    registry.put_node(Node(prefix=NODE, esl="127.0.0.1:1", password="p", capacity=2))
    store.client.hdel(keys.key(keys.node_tag(NODE), "live"), "calls")
    assert placement.choose("demo") == NODE


def test_rooms_that_are_made_while_loads_are_read_take_the_last_ones(
    store: OpenStore, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    placement = Placement(store, registry, clock=lambda: now)
    placement.choose("demo")
    asked: list[bool] = []
    read = store.loads

    def meanwhile(prefixes: Sequence[str]) -> dict[str, Load]:
        asked.append(True)
        if len(asked) < 5:
            placement.choose("demo")
        return read(prefixes)

    monkeypatch.setattr(store, "loads", meanwhile)
    now = 0.15
    placement.choose("demo")
    assert len(asked) == 1
    # What is older than that is not believed.
    now, asked[:] = 10.0, []
    placement.choose("demo")
    assert len(asked) == 5
