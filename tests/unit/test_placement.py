"""Which node gets a new room."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.registry import Node
from controller.rooms.placement import choose_node
from controller.store.store import Load

FIRST, SECOND, THIRD = "AAAAA", "BBBBB", "CCCCC"


def node(prefix: str, **fields: Any) -> Node:
    return Node(prefix=prefix, esl="127.0.0.1:8021", password="x", **fields)


def on(load: int, calls: int = 0) -> Load:
    return Load(load, calls, at=1)


PAIR = [node(FIRST), node(SECOND)]


@pytest.mark.parametrize(
    ("nodes", "loads", "waiting", "chosen"),
    [
        # By load
        ([], {}, {}, None),
        (PAIR, {}, {}, None),
        (PAIR, {SECOND: on(9)}, {}, SECOND),
        (PAIR, {FIRST: on(3), SECOND: on(2)}, {}, SECOND),
        (PAIR, {FIRST: on(2), SECOND: on(2)}, {}, FIRST),
        # By weight
        ([node(FIRST), node(SECOND, weight=2)], {FIRST: on(0), SECOND: on(0)}, {}, SECOND),
        ([node(FIRST), node(SECOND, weight=2)], {FIRST: on(4), SECOND: on(8)}, {}, SECOND),
        ([node(FIRST), node(SECOND, weight=2)], {FIRST: on(4), SECOND: on(10)}, {}, FIRST),
        # Those that take no rooms
        ([node(FIRST, drained=True), node(SECOND)], {FIRST: on(0), SECOND: on(9)}, {}, SECOND),
        ([node(FIRST, drained=True)], {FIRST: on(0)}, {FIRST: 1}, None),
        ([node(FIRST, capacity=5), node(SECOND)], {FIRST: on(6, calls=4), SECOND: on(9)}, {}, FIRST),
        ([node(FIRST, capacity=5), node(SECOND)], {FIRST: on(5, calls=5), SECOND: on(9)}, {}, SECOND),
        ([node(FIRST, capacity=5)], {FIRST: on(5, calls=5)}, {FIRST: 1}, None),
        # By where the app's calls wait
        (PAIR, {FIRST: on(0), SECOND: on(99)}, {SECOND: 1}, SECOND),
        (PAIR, {FIRST: on(0), SECOND: on(99)}, {FIRST: 1, SECOND: 2}, SECOND),
        (PAIR, {FIRST: on(0)}, {SECOND: 1}, FIRST),
        (PAIR, {FIRST: on(0)}, {"gone1": 1}, FIRST),
        ([node(FIRST), node(SECOND, capacity=1)], {FIRST: on(0), SECOND: on(1, calls=1)}, {SECOND: 1}, FIRST),
    ],
)
def test_the_node_of_a_new_room(
    nodes: list[Node], loads: dict[str, Load], waiting: dict[str, int], chosen: str | None
) -> None:
    assert choose_node(nodes, loads, waiting) == chosen


@pytest.mark.parametrize(
    ("regions", "waiting", "chosen"),
    [
        # The callers' own node takes no rooms: another of its region does, even with more load.
        (("eu", "us", "eu"), {FIRST: 1}, THIRD),
        (("eu", "us", "us"), {FIRST: 1}, SECOND),
        # No region is none that nodes share.
        (("", "eu", ""), {FIRST: 1}, SECOND),
        # What waits on the node itself counts first.
        (("eu", "us", "eu"), {FIRST: 5, SECOND: 1}, SECOND),
        (("eu", "us", "eu"), {}, SECOND),
    ],
)
def test_the_region_of_the_callers_is_preferred(
    regions: tuple[str, str, str], waiting: dict[str, int], chosen: str
) -> None:
    prefixes = (FIRST, SECOND, THIRD)
    nodes = [node(prefix, region=region) for prefix, region in zip(prefixes, regions, strict=True)]
    loads = {SECOND: on(1), THIRD: on(2)}
    assert choose_node(nodes, loads, waiting) == chosen


NODES = st.lists(
    st.builds(
        node,
        st.sampled_from([FIRST, SECOND, THIRD, "DDDDD", "EEEEE"]),
        weight=st.integers(1, 100),
        capacity=st.integers(0, 3),
        region=st.sampled_from(["", "eu", "us"]),
        drained=st.booleans(),
    ),
    unique_by=lambda node: node.prefix,
)
COUNTS = st.dictionaries(
    st.sampled_from([FIRST, SECOND, THIRD, "DDDDD", "EEEEE"]), st.builds(on, st.integers(0, 5), st.integers(0, 5))
)
WAITING = st.dictionaries(st.sampled_from([FIRST, SECOND, THIRD, "gone1"]), st.integers(1, 5))


@given(NODES, COUNTS, WAITING)
def test_a_room_gets_a_node_whenever_one_takes_it(
    nodes: list[Node], loads: dict[str, Load], waiting: dict[str, int]
) -> None:
    takers = {
        node.prefix
        for node in nodes
        if node.prefix in loads and not node.drained and (not node.capacity or loads[node.prefix].calls < node.capacity)
    }
    chosen = choose_node(nodes, loads, waiting)
    assert chosen in takers if takers else chosen is None
    # Nothing but what waits, and where, comes before it.
    if chosen:
        assert waiting.get(chosen, 0) == max(waiting.get(prefix, 0) for prefix in takers)
    # The order in which nodes are known does not matter.
    assert choose_node(nodes[::-1], loads, waiting) == chosen


@given(st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_rooms_are_spread_by_weight(weights: list[int]) -> None:
    nodes = [node(f"node{number}", weight=weight) for number, weight in enumerate(weights)]
    rooms: Counter[str] = Counter()
    for _ in range(2 * sum(weights)):
        chosen = choose_node(nodes, {node.prefix: on(rooms[node.prefix]) for node in nodes}, {})
        assert chosen
        rooms[chosen] += 1
    assert [rooms[node.prefix] for node in nodes] == [2 * weight for weight in weights]
