"""The lease on a node: one holder, and what an earlier one writes is refused."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest

from controller.errors import Fenced
from controller.nodes.lease import REACHABLE_SECONDS, NodeLease
from controller.store import keys
from controller.store.lease import LEASE_SECONDS
from tests.integration.world import NODE, RECORDINGS
from tests.open_store import OpenStore

STATE: dict[str, Any] = {"up": True, "load": 7, "calls": 4, "core_uuid": "c0ffee"}
LEASE = keys.key(keys.node_tag(NODE), "lease")


def take(store: OpenStore, owner: str) -> NodeLease:
    lease = NodeLease.take(store, NODE, owner)
    assert lease
    return lease


def test_a_node_has_one_holder(store: OpenStore) -> None:
    lease = take(store, "first")
    assert NodeLease.take(store, NODE, "second") is None
    lease.release(handover=False)
    take(store, "second")


def renew(store: OpenStore, lease: NodeLease) -> None:
    asked_at = time.monotonic()
    lease.renewed(asked_at, store.run(*lease.renewal(**STATE)))


@pytest.mark.parametrize("handover", [True, False])
def test_a_node_that_is_handed_over_goes_on_to_count_as_reachable(store: OpenStore, handover: bool) -> None:
    lease = take(store, "first")
    renew(store, lease)
    load, calls, _ = store.loads([NODE])[NODE]
    assert (load, calls) == (7, 4)
    lease.release(handover=handover)
    assert store.is_reachable(NODE) is handover


def test_a_lease_that_lapsed_and_that_nobody_took_is_renewed(store: OpenStore) -> None:
    lease = take(store, "first")
    store.client.delete(LEASE)
    renew(store, lease)
    lease.check()
    lease.run_everywhere("overdue", up={}, recordings=RECORDINGS)


def test_an_earlier_holder_is_fenced(store: OpenStore) -> None:
    earlier = take(store, "first")
    earlier.raise_fence()
    store.client.delete(LEASE)
    take(store, "second").raise_fence()
    for write in (
        lambda: renew(store, earlier),
        lambda: earlier.run_everywhere("overdue", up={}, recordings=RECORDINGS),
    ):
        with pytest.raises(Fenced):
            write()
    # It gives back what it has not.
    earlier.release(handover=False)
    assert store.holders([NODE, "other"]).keys() == {NODE}


def test_an_earlier_holder_is_fenced_also_when_the_later_one_has_left(store: OpenStore) -> None:
    earlier = take(store, "first")
    store.client.delete(LEASE)
    later = take(store, "second")
    later.raise_fence()
    later.release(handover=False)
    with pytest.raises(Fenced):
        earlier.run_everywhere("overdue", up={}, recordings=RECORDINGS)


def test_no_fence_keeps_the_worker_out_once_the_store_has_lost_its_data(store: OpenStore) -> None:
    store.client.set(keys.key(keys.node_tag(NODE), "token"), 6)
    earlier = take(store, "first")
    store.client.flushall()
    # What was under way has come to the store that is empty now.
    earlier.raise_fence()
    with pytest.raises(Fenced):
        renew(store, earlier)
    earlier.release(handover=False)
    later = take(store, "first")
    later.raise_fence()
    renew(store, later)


def test_what_is_due_again_and_again_holds_a_worker_up_only_so_long(store: OpenStore) -> None:
    lease = take(store, "first")
    due = keys.key(keys.TAGS[0], "due", NODE)
    store.client.zadd(due, {f"ending:{number}": 1 for number in range(100)})
    lease.run_everywhere("overdue", seconds=0, up={}, recordings=RECORDINGS)
    assert store.client.zcard(due) == 90
    lease.run_everywhere("overdue", up={}, recordings=RECORDINGS)
    assert store.client.zcard(due) == 0


def test_a_lease_that_is_longer_than_any_since_the_clock_was_set_back_lapses(store: OpenStore) -> None:
    lease = take(store, "first")
    renew(store, lease)
    live = keys.key(keys.node_tag(NODE), "live")
    for key in (LEASE, live):
        store.client.pexpire(key, 600_000)
    assert store.holders([NODE]) == {}
    assert NodeLease.take(store, NODE, "second") is None
    assert 0 < store.client.pttl(LEASE) <= LEASE_SECONDS * 1000
    assert 0 < store.client.pttl(live) <= REACHABLE_SECONDS * 1000
    assert store.holders([NODE]) == {NODE: "first"}


def test_a_worker_that_died_before_the_clock_was_set_back_does_not_live_on(store: OpenStore) -> None:
    ask = partial(store.run, "workers", keys.REGISTRY)
    ask({"owner": "first", "held": 3, "ttl": 3000})
    store.client.zincrby(keys.key(keys.REGISTRY, "workers"), 600_000, "first")
    assert ask({"owner": "second", "held": 0, "ttl": 3000})["others"] == [3]
    # Lived for `ttl` more, and then no longer.
    store.client.zincrby(keys.key(keys.REGISTRY, "workers"), -3001, "first")
    assert ask({"owner": "second", "held": 0, "ttl": 3000})["others"] == []
