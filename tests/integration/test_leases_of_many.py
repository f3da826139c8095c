"""A worker with many nodes keeps its leases, however much it has to do for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gevent
import pytest
from gevent.event import Event as Flag
from gevent.pool import Group

from controller.errors import StoreUnavailable
from controller.media.client import Direct
from controller.nodes import worker as module
from controller.nodes.audit import MAX_RESYNCS
from controller.nodes.node_worker import NodeWorker
from controller.nodes.worker import Worker
from controller.registry import Node, Registry
from controller.store import keys
from controller.store.store import Step
from tests.integration.fake_link import DrivenNode, Wire
from tests.integration.world import NODES, SESSION_KEY
from tests.open_store import OpenStore


@pytest.fixture
def worker(store: OpenStore) -> Iterator[Worker]:
    registry = Registry(store)
    for prefix in NODES:
        registry.put_node(Node(prefix=prefix, esl="127.0.0.1:1", password="x"))
    worker = Worker(store, registry, reader=store, owner="owner", session_key=SESSION_KEY, relays=Direct())
    worker._tick()
    assert store.holders(NODES) == dict.fromkeys(NODES, "owner")
    yield worker
    worker.stop()


@pytest.fixture
def asked(store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The scripts that the store was asked for, by round trip."""
    found: list[set[str]] = []
    run_each = store.run_each

    def note(steps: Sequence[Step]) -> Any:
        found.append({script for script, _, _ in steps})
        return run_each(steps)

    monkeypatch.setattr(store, "run_each", note)
    return found


def count(asked: list[set[str]], script: str) -> int:
    return sum(script in scripts for scripts in asked)


def test_all_leases_are_renewed_at_once_and_before_anything_else(worker: Worker, asked: list[set[str]]) -> None:
    worker._tick()
    assert asked[0] == {"lease"}
    assert count(asked, "lease") == 1


def test_they_are_renewed_again_while_a_tick_goes_on_for_long(
    worker: Worker, asked: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0)
    worker._tick()
    sweeps = [scripts for scripts in asked if scripts & {"lease", "overdue"}]
    assert sweeps == [{"lease"}, *[{"lease"}, {"overdue"}] * len(NODES)]


def test_one_that_cannot_be_renewed_holds_up_no_other(
    worker: Worker, store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_each = store.run_each
    away, *others = (keys.node_tag(prefix) for prefix in NODES)

    def fail(steps: Sequence[Step]) -> Any:
        if any(script == "lease" and tag == away for script, tag, _ in steps):
            raise StoreUnavailable("away")
        return run_each(steps)

    for tag in (away, *others):
        store.client.persist(keys.key(tag, "lease"))
    monkeypatch.setattr(store, "run_each", fail)
    worker._tick()
    assert [store.client.ttl(keys.key(tag, "lease")) > 0 for tag in (away, *others)] == [False, *[True] * len(others)]


def test_a_lease_that_is_anothers_is_let_go(worker: Worker, store: OpenStore) -> None:
    store.client.set(keys.key(keys.node_tag(NODES[0]), "lease"), "99 other")
    worker._tick()
    assert worker._held.keys() == {*NODES[1:]}


def test_a_node_is_given_up_once_the_one_before_is_gone(
    worker: Worker, store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_stop, stop = Flag(), NodeWorker.stop

    def stop_late(held: NodeWorker, **how: bool) -> None:
        may_stop.wait()
        stop(held, **how)

    monkeypatch.setattr(NodeWorker, "stop", stop_late)
    store.run("workers", keys.REGISTRY, {"owner": "other", "held": 0, "ttl": 60_000})
    worker._tick()
    worker._tick()
    assert len(worker._held) == len(NODES) - 1
    may_stop.set()
    gevent.joinall(list(worker._leaving.values()))
    worker._tick()
    assert len(worker._held) == len(NODES) - 2


def test_only_so_many_nodes_are_compared_at_a_time(store: OpenStore) -> None:
    compared = MAX_RESYNCS + 2
    open_, running, most = Flag(), 0, 0

    class Slow(Wire):
        def api(self, command: Any) -> str:
            nonlocal running, most
            is_first = type(command).__name__ == "JsonList"
            if is_first:
                running += 1
                most = max(most, running)
                open_.wait()
                running -= 1
            return super().api(command)

    greenlets = Group()
    for _ in range(compared):
        greenlets.spawn(DrivenNode(store).link.up, Slow())
    with gevent.Timeout(30):
        while running < MAX_RESYNCS:
            gevent.sleep(0.001)
        open_.set()
        greenlets.join(raise_error=True)
    assert most == MAX_RESYNCS
