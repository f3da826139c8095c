"""The last hour of all processes together, over a real store."""

from __future__ import annotations

import itertools

import pytest

from controller import metrics
from controller.statistics import KEPT_SECONDS, STEP_SECONDS, STREAM, Recorder, Statistics
from controller.webhooks.metrics import LAG
from tests.clock import Clock
from tests.integration.world import NODE, World
from tests.open_store import OpenStore

START = 1_795_000_000
_names = (f"process{number}" for number in itertools.count())


@pytest.fixture
def clock(store: OpenStore) -> Clock:
    # The store's clock goes its own way, so the steps are those that end now.
    return Clock(World(store).now() // 1000 // STEP_SECONDS * STEP_SECONDS - 3 * STEP_SECONDS)


def recorder(store: OpenStore, clock: Clock, *roles: str) -> Recorder:
    return Recorder(store, next(_names), roles, lambda: {"greenlets": 7}, clock)


def go_on(clock: Clock, *recorders: Recorder) -> None:
    """To the end of the step, at which each process records."""
    clock.now += STEP_SECONDS
    for each in recorders:
        each.record()


def count(events: int = 0, commands: int = 0, *lags: float) -> None:
    metrics.node_events.labels(NODE).inc(events)
    metrics.commands.labels("mute", "accepted").inc(commands)
    metrics.commands.labels("mute", "node_down").inc()
    for lag in lags:
        LAG.observe(lag)


def test_what_was_counted_in_each_step_is_a_rate(store: OpenStore, clock: Clock) -> None:
    process, statistics = recorder(store, clock), Statistics(store, clock)
    begin = int(clock.now)
    count(events=20, commands=5)
    go_on(clock, process)
    count(events=40)
    go_on(clock, process)
    clock.now += 2 * STEP_SECONDS  # nobody records the next
    history = statistics.history(1)
    assert history["step_seconds"] == STEP_SECONDS
    assert history["at"] == [begin + number * STEP_SECONDS for number in range(-3, 3)]
    assert history["events"] == [None, None, None, 2.0, 4.0, None]
    assert history["commands"] == [None, None, None, 0.5, 0.0, None]
    assert history["webhooks"] == [None, None, None, 0.0, 0.0, None]
    assert history["latency_p50_ms"] == [None] * 6


def test_what_was_counted_before_a_process_records_is_not_told(store: OpenStore, clock: Clock) -> None:
    count(events=1000)
    process = recorder(store, clock)
    go_on(clock, process)
    clock.now += 2
    assert Statistics(store, clock).now()["rates"]["events"] == 0


def test_processes_are_added_up(store: OpenStore, clock: Clock) -> None:
    # Both count in this process's registry, so each has seen all.
    processes = [recorder(store, clock, "worker"), recorder(store, clock, "api", "dispatcher")]
    count(20, 10, 0.004, 0.004)
    go_on(clock, *processes)
    clock.now += 2
    statistics = Statistics(store, clock)
    assert statistics.now()["rates"] == {"events": 4.0, "commands": 2.0, "webhooks": 0.4}
    found = statistics.processes()
    assert [each["roles"] for each in found] == [["worker"], ["api", "dispatcher"]]
    assert [each["events"] for each in found] == [{NODE: 2.0}] * 2
    assert [each["held"] for each in found] == [{"greenlets": 7}] * 2


def test_latency_is_reckoned_over_buckets(store: OpenStore, clock: Clock) -> None:
    process = recorder(store, clock)
    count(0, 0, *[0.015] * 50, *[0.04] * 49, 100_000)
    go_on(clock, process)
    clock.now += 2
    latency = Statistics(store, clock).now()["latency"]
    # Half are in the bucket from 10 to 20 ms, the 99th of 100 at the end of that from 30 to 50.
    assert latency == {"p50_ms": 20.0, "p99_ms": 50.0}
    count(0, 0, *[100_000] * 9900)
    go_on(clock, process)
    # Beyond the last bucket nothing is known but its lower bound.
    assert Statistics(store, clock).now()["latency"]["p99_ms"] == 21_600_000


def test_webhooks_in_the_outboxes_are_pending(store: OpenStore, clock: Clock) -> None:
    world = World(store)
    world.create("one")
    world.create("two")
    World(store, "other").create("three")
    go_on(clock, recorder(store, clock), recorder(store, clock))
    clock.now += 2
    assert Statistics(store, clock).now()["pending"] == 3


def test_a_step_is_not_shown_before_all_have_recorded_it(store: OpenStore, clock: Clock) -> None:
    process = recorder(store, clock)
    go_on(clock, process)
    clock.now += 1
    assert Statistics(store, clock).now()["rates"]["events"] is None
    clock.now += 1
    assert Statistics(store, clock).now()["rates"]["events"] == 0


def test_nothing_is_known_at_first(store: OpenStore) -> None:
    statistics = Statistics(store)
    assert statistics.now() == {
        "rates": {"events": None, "commands": None, "webhooks": None},
        "latency": {"p50_ms": None, "p99_ms": None},
        "pending": None,
    }
    assert statistics.processes() == []
    history = statistics.history()
    assert len(history["at"]) == KEPT_SECONDS // STEP_SECONDS
    assert set(history["events"]) == {None}


def test_entries_go_after_an_hour(store: OpenStore, clock: Clock) -> None:
    old = int(clock.now - KEPT_SECONDS - 60) * 1000
    # Whole nodes of the stream go, so there must be some.
    with store.client.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.xadd(STREAM, {"e": b"{}"}, id=f"{old}-{number}")
        pipe.execute()
    recorder(store, clock).record()
    assert store.client.xlen(STREAM) < 200


def test_an_entry_that_cannot_be_read_hides_no_other(store: OpenStore, clock: Clock) -> None:
    for text in ("{}", "garbage", '{"at":1}', f'{{"at":{int(clock.now)}}}'):
        store.client.xadd(STREAM, {"e": text})
    process = recorder(store, clock)
    count(events=10)
    go_on(clock, process)
    clock.now += 2
    statistics = Statistics(store, clock)
    assert statistics.now()["rates"]["events"] == 1.0
    assert len(statistics.processes()) == 1
