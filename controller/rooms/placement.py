"""Which nodes are reachable, and which of them gets the next room.

How it works: a room is best where its callers are, since callers of another node need a leg. Nobody says for whom a
room is made, but most are made for calls that have just come in, and those are parked until they join. So of the nodes
that take new rooms, the one where most of the app's calls wait gets it. If they wait on none of these, a node of the
region where most wait gets it. Among nodes that are alike in this, the one with the least load for its weight gets it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from controller.registry import Node, Registry
from controller.store import keys
from controller.store.store import Load, Store

# For how long is used what the store said of which nodes are up, and of their loads.
FRESH_SECONDS = 0.1


class Placement:
    """Reads what the nodes' workers publish; a node whose worker says nothing is down. `is_up_here`: whether a node is
    up that a worker of this process holds, which needs no look into the store.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Callable[[], float] = time.monotonic,
        is_up_here: Callable[[str], bool] | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._is_up_here = is_up_here or (lambda _prefix: False)
        self._up: dict[str, tuple[float, bool]] = {}
        self._loads: dict[str, Load] = {}
        self._counted_at = float("-inf")
        self._is_counting = False
        # Rooms given to a node since its worker last counted.
        self._given: Counter[tuple[str, int]] = Counter()

    def is_up(self, prefix: str) -> bool:
        if self._is_up_here(prefix):
            return True
        now = self._clock()
        asked_at, up = self._up.get(prefix, (float("-inf"), False))
        if now - asked_at > FRESH_SECONDS:
            up = self._store.is_reachable(prefix)
            # Only for known nodes: a tenant may have made the prefix up.
            if any(node.prefix == prefix for node in self._registry.nodes()):
                self._up[prefix] = (now, up)
        return up

    def known_of(self, prefix: str) -> dict[str, bool]:
        """What lib/limits.lua wants to know of a node: whether it is `up`, and `open` for new rooms and legs."""
        is_open = any(node.prefix == prefix and not node.drained for node in self._registry.nodes())
        return {"up": self.is_up(prefix), "open": is_open}

    @property
    def asks_store(self) -> bool:
        """Whether `choose` has to."""
        return self._is_choice or not self._is_counted

    @property
    def _is_choice(self) -> bool:
        """Where calls wait makes no difference to one node."""
        return len(self._registry.nodes()) > 1

    @property
    def _is_counted(self) -> bool:
        # While one asks, all others would ask too: they take what was so until now.
        return self._clock() - self._counted_at <= FRESH_SECONDS * (2 if self._is_counting else 1)

    def choose(self, app_id: str) -> str | None:
        """The node for a new room of the app, None without one."""
        nodes = self._registry.nodes()
        if not self._is_counted:
            self._is_counting = True
            try:
                self._loads, self._counted_at = self._store.loads([node.prefix for node in nodes]), self._clock()
            finally:
                self._is_counting = False
        loads = {
            prefix: count._replace(load=count.load + self._given[prefix, count.at])
            for prefix, count in self._loads.items()
        }
        step = ("waiting", keys.partition_of(app_id), {"app_id": app_id})
        waiting = self._store.run(*step)["waiting"] if self._is_choice else {}
        chosen = choose_node(nodes, loads, waiting)
        if chosen is None:
            return None
        at = loads[chosen].at
        for old in [key for key in self._given if key[0] == chosen and key[1] != at]:
            del self._given[old]
        self._given[chosen, at] += 1
        return chosen

    def load(self, prefix: str) -> tuple[int, int]:
        """How many rooms and how many calls are on a node."""
        return self._store.count_on(prefix)

    def state(self) -> dict[str, bool]:
        return {node.prefix: self.is_up(node.prefix) for node in self._registry.nodes()}


def choose_node(nodes: Collection[Node], loads: Mapping[str, Load], waiting: Mapping[str, int]) -> str | None:
    """The prefix of the node for a new room, None if no node takes one. `loads`: of those that are up. `waiting`: how
    many of the app's calls wait on each node; also on one that takes no rooms itself.
    """
    in_region: Counter[str] = Counter()
    for node in nodes:
        if node.region:
            in_region[node.region] += waiting.get(node.prefix, 0)

    def takes_rooms(node: Node) -> bool:
        load = loads.get(node.prefix)
        return load is not None and not node.drained and not 0 < node.capacity <= load.calls

    def rank(node: Node) -> tuple[int, int, float, str]:
        """By the load that it would have, so that of two empty nodes the one with more weight comes first."""
        load = (loads[node.prefix].load + 1) / node.weight
        return -waiting.get(node.prefix, 0), -in_region[node.region], load, node.prefix

    takers = [node for node in nodes if takes_rooms(node)]
    return min(takers, key=rank).prefix if takers else None
