"""The dispatcher against a real store and a real HTTP receiver."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from controller.store.store import Store
from controller.webhooks.dispatcher import Dispatcher
from controller.webhooks.schedule import Schedule
from tests.integration.webhook_fixtures import Outbox, Receiver

ROOM = "acW68-room-550e8400-e29b-41d4-a716-44665544000%d"
# The real schedule has seven attempts too, and holds the lane for the first two retries.
FAST = Schedule(delays=(0.03, 0.06, 0.1, 0.1, 0.1, 0.1))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def outbox(store: Store) -> Outbox:
    return Outbox(store)


Start = Callable[..., Dispatcher]


@pytest.fixture
def start(store: Store, outbox: Outbox) -> Iterator[Start]:
    started: list[Dispatcher] = []

    def start(owner: str = "d1", **options: Any) -> Dispatcher:
        options = {"schedule": FAST, "allow_private_networks": True, **options}
        dispatcher = Dispatcher(store, outbox.registry, owner=owner, **options)
        dispatcher.start()
        started.append(dispatcher)
        return dispatcher

    yield start
    for dispatcher in started:
        dispatcher.stop(timeout=1)


def test_a_webhook_arrives_signed_and_leaves_the_outbox(
    outbox: Outbox, receiver: Receiver, start: Start
) -> None:
    app = outbox.app("demo", receiver.url)
    start()
    before = time.time()
    (expected,) = outbox.put(app, ROOM % 1, name="standup")
    (request,) = receiver.wait(1)
    request.verify()
    body = orjson.loads(request.body)
    assert list(body) == ["type", "timestamp", "data"]
    assert body["type"] == "conference.member.joined"
    assert body["timestamp"][-5:-4] + body["timestamp"][-1] == ".Z"
    assert body["data"] == {"app_id": "demo", "room_id": ROOM % 1, "sequence": 1, "name": "standup"}
    assert request.id == expected
    assert abs(int(request.headers["webhook-timestamp"]) - before) < 5
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("Switchroom/")
    outbox.wait_until(lambda: not outbox.left(app))
    (line,) = outbox.log(app)
    assert line["webhook"] == expected
    assert (line["type"], line["outcome"], line["status"], line["attempt"], line["room"]) == (
        "conference.member.joined",
        "delivered",
        200,
        1,
        ROOM % 1,
    )
    assert outbox.record(expected) == {}


def test_what_was_there_before_the_dispatcher_is_delivered_in_order(
    outbox: Outbox, receiver: Receiver, start: Start
) -> None:
    app = outbox.app("demo", receiver.url)
    rooms = [ROOM % (i % 5) for i in range(1000)]
    expected = outbox.put(app, *rooms)
    start()
    receiver.wait(1000)
    outbox.wait_until(lambda: not outbox.left(app))
    assert sorted(receiver.ids()) == sorted(expected)
    for room in set(rooms):
        sequences = [r.data["sequence"] for r in receiver.received if r.data["room_id"] == room]
        assert sequences == sorted(sequences)
    assert receiver.connections <= 8
