"""How long steps hold the store at their worst: nobody may wait for them longer than a process waits for the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest

from controller.limits import QUOTAS
from controller.store.store import Store
from tests.benchmarks.bench_scripts import SCENARIOS, Timed
from tests.integration.world import World

# Those that are quickly brought about; `make bench-scripts` runs all.
QUICK = [title for title in SCENARIOS if "100 playbacks" in title or "URLs" in title]


@pytest.fixture
def timed(server_url: str) -> Iterator[Timed]:
    store = Timed.connect(server_url)
    assert isinstance(store, Timed)
    store.client.flushall()
    store.longest = defaultdict(int)
    yield store
    store.close()


@pytest.mark.parametrize("title", QUICK)
def test_the_slowest_steps_are_over_before_others_give_up_waiting(title: str, timed: Timed, server_url: str) -> None:
    world = World(timed)
    world.limits["quotas"] = world.worker["quotas"] = dict.fromkeys(QUOTAS, 1 << 30)
    run = SCENARIOS[title](world)
    run()
    # CPU time of the store: how busy the machine is does not count. The usual is a hundredth.
    assert 0 < max(timed.longest.values()) < Store.connect(server_url).timeout * 1e6
