"""What comes before a request itself: whose it is, and how often its app asks. With the real store."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from flask.testing import FlaskClient
from redis.exceptions import ConnectionError as NoStore

from controller.commands import Play
from controller.controller import COUNTED_BYTES, Controller, Limits
from controller.errors import Refused
from controller.limits import Admission
from controller.registry import CACHE_SECONDS, Node, Registry, new_app
from controller.rooms.placement import FRESH_SECONDS, Placement
from controller.store import keys
from tests.clock import Clock
from tests.integration.world import NO_COOLDOWNS, NODE, World
from tests.open_store import OpenStore
from tests.unit.web_fakes import FakeStreams
from web.app import create_app

KEY = "key-of-demo-0123"
HEADERS = {"X-App-ID": "demo", "X-API-Key": KEY}
STRANGERS = {
    "unknown app": {"X-App-ID": "nobody", "X-API-Key": KEY},
    "wrong key": {"X-App-ID": "demo", "X-API-Key": "key-of-demo-0124"},
}
ROOMS = "/api/v1/conferences"
MISSING = "acW68-room-00000000-0000-4000-8000-000000000000"
RATE = 1

T = TypeVar("T")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(store: OpenStore, clock: Clock) -> Registry:
    registry = Registry(store, clock)
    registry.put_app(new_app("demo", KEY))
    return registry


@pytest.fixture
def client(store: OpenStore, registry: Registry) -> FlaskClient:
    controller = Controller(store, registry, Placement(store, registry), Limits(requests_per_second=RATE))
    return create_app(controller, FakeStreams()).test_client()


def test_nobody_is_turned_away_by_a_store_that_has_lost_its_data(
    store: OpenStore, clock: Clock, client: FlaskClient
) -> None:
    assert client.get(ROOMS, headers=HEADERS).status_code == 200
    store.client.flushall()
    clock.now += CACHE_SECONDS
    for _ in range(2):
        assert client.get(ROOMS, headers=HEADERS).status_code == 503
    # Another process has it again.
    Registry(store).put_app(new_app("demo", KEY))
    assert client.get(ROOMS, headers=HEADERS).status_code == 200


def calls(store: OpenStore) -> Counter[str]:
    """What the store was asked, by command, but for what scripts ask."""
    commands = store.client.info("commandstats")
    return Counter({name: stats["calls"] for name, stats in commands.items() if name != "cmdstat_info"})


def at_once(store: OpenStore, ask: Callable[[], T]) -> T:
    """What `ask` returns, done anew until it takes so little that the rate has let next to nothing more in meanwhile."""
    while True:
        store.client.delete(keys.key(keys.partition_of("demo"), "rate", "demo"))
        began = time.monotonic()
        found = ask()
        if time.monotonic() - began < 0.4:
            return found


REQUESTS: dict[str, dict[str, Any]] = {
    "a list": {"method": "GET", "path": ROOMS},
    "an unknown path": {"method": "GET", "path": "/api/v1/nothing"},
    "the API itself": {"method": "GET", "path": "/api/v1"},
    "a wrong method": {"method": "PUT", "path": ROOMS},
    "options": {"method": "OPTIONS", "path": ROOMS},
    "head": {"method": "HEAD", "path": ROOMS},
    "a body that is too large": {"method": "POST", "path": ROOMS, "data": b"x" * 70_000},
    "no JSON": {"method": "POST", "path": ROOMS, "data": b"x"},
    "a bad name": {"method": "POST", "path": ROOMS, "json": {"name": ""}},
    "a bad room id": {"method": "GET", "path": f"{ROOMS}/x"},
    "no such room": {"method": "GET", "path": f"{ROOMS}/{MISSING}"},
    "no such session": {"method": "GET", "path": "/api/v1/sessions/x"},
    "a bad cursor": {"method": "GET", "path": f"{ROOMS}?cursor=x"},
    "a refused endpoint": {"method": "PUT", "path": "/api/v1/webhooks/endpoint", "json": {"url": "http://127.0.0.1/"}},
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_every_authenticated_request_counts(request_: dict[str, Any], client: FlaskClient, store: OpenStore) -> None:

    def ask() -> tuple[Any, Counter[str], Any]:
        return client.open(headers=HEADERS, **request_), calls(store), client.open(headers=HEADERS, **request_)

    accepted, before, refused = at_once(store, ask)
    assert accepted.status_code != 429
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    if request_["method"] != "HEAD":
        assert list(json.loads(refused.data)["detail"]) == ["retry_after_ms"]
    # It is refused ahead of everything else: that takes one step, in which nothing is looked up.
    assert calls(store) - before == {"cmdstat_fcall": 1, "cmdstat_time": 1, "cmdstat_get": 1}


def test_a_request_counts_by_the_size_of_its_body(store: OpenStore, registry: Registry) -> None:
    controller = Controller(store, registry, Placement(store, registry), Limits(requests_per_second=100))

    def is_admitted(size: int) -> bool:
        try:
            controller.admit(Admission("demo", size))
        except Refused:
            return False
        return True

    sizes = (*[48 * COUNTED_BYTES] * 3, 0)
    assert at_once(store, lambda: [is_admitted(size) for size in sizes]) == [True, True, False, True]


def test_an_app_waits_no_longer_since_the_clock_was_set_back(store: OpenStore, registry: Registry) -> None:
    controller = Controller(store, registry, Placement(store, registry), Limits(requests_per_second=100))
    controller.admit(Admission("demo"))
    store.client.incrby(keys.key(keys.partition_of("demo"), "rate", "demo"), 600_000_000)
    controller.admit(again := Admission("demo"))
    assert again.budget
    assert again.budget.remaining == 99


def test_a_cooldown_is_no_longer_since_the_clock_was_set_back(world: World) -> None:
    world.limits["cooldowns"] = {**NO_COOLDOWNS, "conf_play": 60_000}
    room = world.create()
    world.play(room, "https://media.example/a.wav")
    assert world.play(room, "https://media.example/b.wav", operation="op2")["refused"] == "rate_limited"
    world.store.client.pexpire(keys.key(world.tag, "cooldown", "conf_play", room), 600_000)
    assert "refused" not in world.play(room, "https://media.example/b.wav", operation="op2")


def test_an_app_may_have_a_rate_of_its_own(client: FlaskClient, registry: Registry) -> None:
    registry.put_app(new_app("demo", KEY, own_quotas={"requests_per_second": 2}))
    response = client.get(ROOMS, headers=HEADERS)
    left = [response.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")]
    assert (response.status_code, left) == (200, ["2", "1", "1"])


def test_an_app_does_not_use_up_another_s_rate(client: FlaskClient, registry: Registry) -> None:
    registry.put_app(new_app("other", KEY))
    while client.get("/api/v1/nothing", headers=HEADERS).status_code != 429:
        pass
    assert client.get(ROOMS, headers={**HEADERS, "X-App-ID": "other"}).status_code == 200


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
def test_a_failed_authentication_asks_the_store_nothing(
    headers: dict[str, str], client: FlaskClient, store: OpenStore
) -> None:
    before = calls(store)
    assert [client.get(ROOMS, headers=headers).status_code for _ in range(3)] == [401] * 3
    assert calls(store) == before


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
def test_once_a_second_the_store_is_asked_whoever_asks(
    headers: dict[str, str], client: FlaskClient, store: OpenStore, clock: Clock
) -> None:
    clock.now += CACHE_SECONDS
    before = calls(store)
    assert client.get(ROOMS, headers=headers).status_code == 401
    assert calls(store) - before == {"cmdstat_get": 1}


def test_an_app_added_elsewhere_is_known_a_second_later(client: FlaskClient, store: OpenStore, clock: Clock) -> None:
    Registry(store).put_app(new_app("nobody", KEY))
    assert client.get(ROOMS, headers=STRANGERS["unknown app"]).status_code == 401
    clock.now += CACHE_SECONDS
    assert client.get(ROOMS, headers=STRANGERS["unknown app"]).status_code == 200


@pytest.mark.parametrize("headers", [HEADERS, *STRANGERS.values()], ids=["right key", *STRANGERS])
def test_without_the_store_nobody_is_told_whether_there_is_such_an_app(
    headers: dict[str, str], client: FlaskClient, store: OpenStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: Any) -> None:
        raise NoStore

    monkeypatch.setattr(store.client, "get", away)
    clock.now += CACHE_SECONDS
    answer = client.get(ROOMS, headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


# What a play's names are looked up for


class Names:
    """The DNS. `asked`: the names that were looked up."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return ["93.184.216.34"]


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def controller(store: OpenStore, registry: Registry, clock: Clock, names: Names) -> Controller:
    registry.put_node(Node(prefix=NODE, esl="127.0.0.1:8021", password="p"))
    store.client.hset(keys.key(keys.node_tag(NODE), "live"), "load", 0)
    return Controller(store, registry, Placement(store, registry, clock), resolve=names)


def play(controller: Controller, room: str, app: str = "demo") -> str:
    """-> the reason for which it is refused, if it is."""
    try:
        controller.execute(Play(app_id=app, room_id=room, urls=("https://cdn.example.com/a.wav",)))
    except Refused as refused:
        return refused.code
    return ""


def test_a_play_that_may_be_has_its_names_looked_up(store: OpenStore, controller: Controller, names: Names) -> None:
    room = World(store).create()
    assert play(controller, room) == ""
    assert names.asked == ["cdn.example.com"]


def test_nothing_is_looked_up_for_a_play_that_is_refused(
    store: OpenStore, controller: Controller, names: Names, clock: Clock
) -> None:
    world = World(store)
    # Both number their rooms from 1 on: the last is the other's alone.
    *_, foreign = map(World(store, "other").create, ("a", "b", "c", "d"))
    limited, full, away = map(world.create, ("a", "b", "c"))
    world.limits["cooldowns"] = {**NO_COOLDOWNS, "conf_play": 60_000}
    world.play(limited, "https://cdn.example.com/a.wav")
    store.client.rpush(keys.key(world.tag, "operations", full), *range(100))
    refusals = [play(controller, room) for room in (MISSING, foreign, limited, full)]
    assert refusals == ["room_not_found", "room_forbidden", "rate_limited", "too_many_operations"]
    clock.now += FRESH_SECONDS * 2
    store.client.delete(keys.key(keys.node_tag(NODE), "live"))
    assert play(controller, away) == "node_down"
    assert names.asked == []
