"""Who delivers: sharing, taking over, handing over, and what a dispatcher that was cut off can no longer do."""

from __future__ import annotations

import functools
import itertools
import os
import random
import signal
import sys
from typing import Any

import gevent
import pytest
from gevent import subprocess
from gevent.event import Event as Flag

from controller.store import keys
from controller.store.lease import LEASE_SECONDS
from controller.webhooks.dispatcher import RENEW_SECONDS, Dispatcher
from controller.webhooks.retry import Schedule
from tests.integration import webhook_fixtures as fixtures
from tests.integration.webhook_fixtures import ERROR, OK, Outbox, Receiver, Start

ROOM = "acW68-room-550e8400-e29b-41d4-a716-44665544000%d"
COUNT = int(os.environ.get("WEBHOOK_TEST_COUNT", "3000"))
KILLS = int(os.environ.get("WEBHOOK_TEST_KILLS", "5"))


def shares(*dispatchers: Dispatcher) -> list[int]:
    return [len(dispatcher.partitions) for dispatcher in dispatchers]


def test_partitions_are_shared_evenly_and_never_twice(outbox: Outbox, start: Start) -> None:
    first = start("a")
    outbox.wait_until(lambda: shares(first) == [16])
    second = start("b")
    outbox.wait_until(lambda: shares(first, second) == [8, 8])
    assert not first.partitions & second.partitions
    third = start("c")
    outbox.wait_until(lambda: sorted(shares(first, second, third)) == [5, 5, 6])
    assert first.partitions | second.partitions | third.partitions == set(keys.TAGS)
    second.stop()
    outbox.wait_until(lambda: shares(first, third) == [8, 8])


def test_stop_ends_what_is_in_flight_and_hands_over_at_once(
    outbox: Outbox, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody waits for a lease to lapse.
    monkeypatch.setattr("controller.webhooks.dispatcher.LEASE_SECONDS", 600.0)
    app = outbox.app("demo", receiver.url)
    may_respond = Flag()

    def when_told(sock: Any) -> None:
        may_respond.wait()
        sock.sendall(OK)

    receiver.default = when_told
    expected = outbox.put(app, ROOM % 1, ROOM % 2, ROOM % 1, ROOM % 2)
    first = start("a")
    receiver.wait(2)
    stopping = gevent.spawn(first.stop, timeout=30)
    outbox.wait_until(lambda: first.partition(keys.partition_of(app)).is_yielding)
    may_respond.set()
    stopping.get()
    assert first.partitions == frozenset()
    assert outbox.left(app) == 2
    assert [line["outcome"] for line in outbox.log(app)] == ["delivered"] * 2
    second = start("b")
    outbox.wait_until(lambda: shares(second) == [16])
    receiver.wait(4)
    assert sorted(receiver.ids()) == sorted(expected)


def test_a_long_stop_keeps_its_leases(
    outbox: Outbox, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.webhooks.dispatcher.RENEW_SECONDS", 0.1)
    app = outbox.app("demo", receiver.url)

    def after_the_lease(sock: Any) -> None:
        gevent.sleep(LEASE_SECONDS + 0.5)
        sock.sendall(OK)

    receiver.responses.append(after_the_lease)
    expected = outbox.put(app, ROOM % 1, ROOM % 1)
    first = start("a")
    receiver.wait(1)
    stopping = gevent.spawn(first.stop)
    start("b")
    receiver.wait(2)
    stopping.get()
    outbox.wait_until(lambda: not outbox.left(app))
    assert receiver.ids() == expected


def test_stop_waits_no_longer_than_it_is_told(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    app = outbox.app("demo", receiver.url)
    receiver.default = fixtures.hang
    outbox.put(app, ROOM % 1)
    dispatcher = start("a", attempt_seconds=600)
    receiver.wait(1)
    with gevent.Timeout(5):  # a stop that is told nothing takes twice as long
        dispatcher.stop(timeout=0.2)
    assert outbox.left(app) == 1


def test_a_new_holder_goes_on_where_the_old_one_stopped(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    app = outbox.app("demo", receiver.url)
    receiver.choose = lambda request: ERROR if len(receiver.received) < 6 else OK
    first = start("a", schedule=Schedule(delays=(0.01, 60.0)))
    held, after = outbox.put(app, ROOM % 1, ROOM % 1)
    outbox.wait_until(lambda: len(outbox.log(app)) == 2)
    first.stop()
    # Its next attempt is due in a minute: for the new holder as well.
    second = start("b")
    outbox.wait_until(lambda: shares(second) == [16])
    gevent.sleep(0.2)
    assert receiver.ids() == [held] * 2
    second.stop()
    # As if the minute were over.
    tag, entry = keys.partition_of(app), held.partition("-")[2]
    outbox.store.client.hset(keys.key(tag, "held"), entry, "2 0")
    start("c")
    outbox.wait_until(lambda: not outbox.left(app))
    assert [line["attempt"] for line in outbox.log(app) if line["webhook"] == held][:3] == [1, 2, 3]
    assert set(receiver.ids()) == {held, after}


def test_a_partition_whose_lease_cannot_be_read_stops_no_other(
    outbox: Outbox, receiver: Receiver, start: Start
) -> None:
    app = outbox.app("demo", receiver.url)
    broken = next(tag for tag in keys.TAGS if tag != keys.partition_of(app))
    outbox.store.client.set(keys.key(broken, "dispatcher"), "garbage")
    dispatcher = start()
    (webhook,) = outbox.put(app, ROOM % 1)
    receiver.wait(1)
    assert receiver.ids() == [webhook]
    outbox.wait_until(lambda: dispatcher.partitions == set(keys.TAGS) - {broken})
    # Once it can be read it is leased as the others are.
    outbox.store.client.delete(keys.key(broken, "dispatcher"))
    outbox.wait_until(lambda: dispatcher.partitions == set(keys.TAGS))


def test_a_dispatcher_that_died_before_the_clock_was_set_back_lets_go(outbox: Outbox) -> None:
    tag, client = keys.TAGS[0], outbox.store.client
    ask = {"token": 0, "ttl": 3000, "number": 0}
    first = outbox.store.run("delivery_lease", tag, {**ask, "owner": "dead"})["token"]
    partition, dispatchers = keys.key(tag, "dispatcher"), keys.key(tag, "dispatchers")
    client.hincrby(partition, "until", 600_000)
    client.zincrby(dispatchers, 600_000, "dead")
    assert outbox.store.run("delivery_lease", tag, {**ask, "owner": "alive"})["token"] == 0
    # Now it has so much time left as it can have, and then none.
    client.hincrby(partition, "until", -3001)
    client.zincrby(dispatchers, -3001, "dead")
    assert outbox.store.run("delivery_lease", tag, {**ask, "owner": "alive"})["token"] == first + 1


@pytest.mark.parametrize("garbage", ["held", "dispatcher", "endpoints"])
def test_garbage_about_deliveries_stops_none(outbox: Outbox, receiver: Receiver, start: Start, garbage: str) -> None:
    app = outbox.app("demo", receiver.url)
    tag, client = keys.partition_of(app), outbox.store.client
    first, second = outbox.put(app, ROOM % 1, ROOM % 1)
    entry = first.partition("-")[2]
    client.hset(keys.key(tag, "delivery", entry), mapping={"status": "held", "attempts": 2})
    client.hset(keys.key(tag, "held"), entry, "2 0")
    {
        "held": lambda key: client.hset(key, entry, "garbage"),
        "dispatcher": lambda key: client.hset(key, mapping={"token": "garbage", "until": "garbage"}),
        "endpoints": lambda key: client.set(key, "garbage"),
    }[garbage](keys.key(tag, garbage))
    dispatcher = start()
    outbox.wait_until(lambda: not outbox.left(app))
    assert receiver.ids() == [first, second]
    outbox.wait_until(lambda: shares(dispatcher) == [16])
    assert [line["attempt"] for line in outbox.log(app)] == [3, 1]


def test_what_stepped_aside_is_taken_over(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    app = outbox.app("demo", receiver.url)
    receiver.responses.append(ERROR)
    first = start("a", schedule=Schedule(delays=(60.0,), holding=0))
    (webhook,) = outbox.put(app, ROOM % 1)
    outbox.wait_until(lambda: outbox.record(webhook).get("status") == "aside")
    first.stop()
    # As if the minute were over.
    client, tag = outbox.store.client, keys.partition_of(app)
    client.zadd(keys.key(tag, "aside", app), {webhook.partition("-")[2]: 0})
    client.zadd(keys.key(tag, "asides"), {app: 0})
    start("b")
    receiver.wait(2)
    outbox.wait_until(lambda: outbox.record(webhook).get("status") == "delivered")
    assert receiver.ids() == [webhook] * 2
    first_body, second_body = (request.body for request in receiver.received)
    assert first_body == second_body


def test_a_lease_is_another_one_once_the_store_has_lost_its_data(outbox: Outbox) -> None:
    """What its holder has in memory is of the data that is lost."""
    tag, client = keys.TAGS[0], outbox.store.client
    client.hset(keys.key(tag, "dispatcher"), "token", 0)
    ask = {"owner": "a", "ttl": 3000, "number": 0}
    token = outbox.store.run("delivery_lease", tag, {**ask, "token": 0})["token"]
    client.flushall()
    assert outbox.store.run("delivery_lease", tag, {**ask, "token": token})["token"] > token


@pytest.mark.parametrize("response", [OK, ERROR], ids=["delivered", "failed"])
def test_who_lost_the_lease_writes_nothing(outbox: Outbox, receiver: Receiver, start: Start, response: bytes) -> None:
    app = outbox.app("demo", receiver.url)
    tag = keys.partition_of(app)
    first = start("a")

    def while_another_takes_over(sock: Any) -> None:
        outbox.store.client.hset(keys.key(tag, "dispatcher"), mapping={"owner": "b", "until": 2**50})
        outbox.store.client.hincrby(keys.key(tag, "dispatcher"), "token", 1)
        sock.sendall(response)

    receiver.responses.append(while_another_takes_over)
    (webhook,) = outbox.put(app, ROOM % 1)
    outbox.wait_until(lambda: receiver.received and tag not in first.partitions)
    assert outbox.left(app) == 1
    assert outbox.log(app) == []
    assert outbox.record(webhook) == {}


def spawn(server_url: str, owner: str) -> Any:
    command = [sys.executable, "-m", "tests.integration.webhook_dispatcher", server_url, owner]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"started\n"
    return process


def kill(process: Any) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_a_killed_dispatcher_is_replaced_within_five_seconds(
    server_url: str, outbox: Outbox, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the store's clock, and by what the other one does: a busy machine may be late with either."""
    client = outbox.store.client
    second = start("b")
    process = spawn(server_url, "a")
    outbox.wait_until(lambda: shares(second) == [8])
    outbox.wait_until(lambda: {client.hget(keys.key(tag, "dispatcher"), "owner") for tag in keys.TAGS} == {b"a", b"b"})
    kill(process)

    def lapses_in() -> float:
        """Seconds until the last of its leases is over."""
        seconds, microseconds = client.time()
        until = (client.zscore(keys.key(tag, "dispatchers"), "a") or 0 for tag in keys.TAGS)
        return float(max(until)) / 1000 - (seconds + microseconds / 1e6)

    renew = second.renew
    shares_after: list[int] = []

    def renew_noting() -> None:
        is_over = lapses_in() <= 0
        renew()
        if is_over:
            shares_after.extend(shares(second))

    assert lapses_in() <= 3
    # Whichever renewal comes first then; another one follows each second.
    monkeypatch.setattr(second, "renew", renew_noting)
    outbox.wait_until(lambda: shares_after)
    assert shares_after[0] == 16
    assert RENEW_SECONDS <= 1


def test_a_dispatcher_that_was_frozen_cannot_write(
    server_url: str, outbox: Outbox, receiver: Receiver, start: Start
) -> None:
    app = outbox.app("demo", receiver.url)
    process = spawn(server_url, "a")
    try:
        may_respond = Flag()

        def when_told(sock: Any) -> None:
            may_respond.wait()
            sock.sendall(ERROR)

        receiver.responses.append(when_told)
        (webhook,) = outbox.put(app, ROOM % 1)
        receiver.wait(1)
        process.send_signal(signal.SIGSTOP)
        may_respond.set()
        second = start("b")
        outbox.wait_until(lambda: shares(second) == [16])
        outbox.wait_until(lambda: not outbox.left(app))
        process.send_signal(signal.SIGCONT)
        # It comes back as one of two, and what it was at is forgotten.
        outbox.wait_until(lambda: shares(second) == [8])
        assert receiver.ids() == [webhook] * 2
        assert [(line["attempt"], line["outcome"]) for line in outbox.log(app)] == [(1, "delivered")]
        assert outbox.record(webhook)["attempts"] == "1"
    finally:
        kill(process)


def slowly(sock: Any) -> None:
    gevent.sleep(0.02)
    sock.sendall(OK)


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_order_held_while_dispatchers_are_killed(
    server_url: str, outbox: Outbox, capsys: pytest.CaptureFixture[str]
) -> None:
    rooms, endpoints = 50, {name: Receiver() for name in ("up", "also-up", "slow", "flapping", "dead")}
    dice = random.Random(1)
    endpoints["slow"].default = slowly
    endpoints["flapping"].choose = lambda request: ERROR if dice.random() < 0.02 else None
    endpoints["dead"].default = fixtures.hang
    for name, receiver in endpoints.items():
        outbox.app(name, receiver.url)
    expected: dict[str, list[str]] = {name: [] for name in endpoints}
    owners = itertools.count()
    processes = [spawn(server_url, f"d{next(owners)}") for _ in range(2)]

    def fill() -> None:
        for _ in range(COUNT // rooms):
            for room in range(rooms):
                name = list(endpoints)[room % len(endpoints)]
                expected[name] += outbox.put(name, f"{name}-room-{room}")
            gevent.sleep(KILLS * 2 * rooms / COUNT)

    filling = gevent.spawn(fill)
    try:
        for _ in range(KILLS):
            receiver = endpoints["up"]
            receiver.wait(min(len(receiver.received) + 20, COUNT // len(endpoints)), timeout=30)
            kill(processes.pop(0))
            processes.append(spawn(server_url, f"d{next(owners)}"))
        filling.get()
        for name in endpoints:
            if name != "dead":
                outbox.wait_until(functools.partial(outbox.is_settled, name), timeout=60)
    finally:
        for process in processes:
            kill(process)
        for receiver in endpoints.values():
            receiver.stop()

    # Of the dead one's every webhook is still there; of the others' every one has arrived.
    assert all(outbox.knows("dead", webhook) for webhook in expected["dead"])
    for name, receiver in endpoints.items():
        assert name == "dead" or set(receiver.ids()) == set(expected[name])
    # A repeat comes before its successor, so that an ordering key's sequence never goes back, but for what stepped aside.
    for name, receiver in endpoints.items():
        stepped_aside = {line["webhook"] for line in outbox.log(name) if line["outcome"] == "aside"}
        sequences: dict[str, list[int]] = {}
        for request in receiver.received:
            if request.id not in stepped_aside:
                sequences.setdefault(request.data["room_id"], []).append(request.data["sequence"])
        assert all(found == sorted(found) for found in sequences.values())
    with capsys.disabled():
        for name, receiver in endpoints.items():
            arrived = len(set(receiver.ids()))
            print(
                f"\n{name}: {len(expected[name])} webhooks, {arrived} arrived, "
                f"{len(receiver.received) - arrived} repeats",
                end="",
            )
        print(f"\nkills: {KILLS}")
