"""Which nodes are reachable, and which of them gets the next room."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from controller.registry import Registry
from controller.store.store import Store

# For how long a result of `is_up` is used.
FRESH_SECONDS = 0.1


class Placement:
    """Reads what the nodes' workers publish; a node whose worker says nothing is down."""

    def __init__(self, store: Store, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._up: dict[str, tuple[float, bool]] = {}
        # Rooms given to a node since its worker last counted.
        self._given: Counter[tuple[str, int]] = Counter()

    def is_up(self, prefix: str) -> bool:
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

    def choose(self) -> str | None:
        """The least loaded node that is up and takes new rooms, None without one."""
        open_nodes = [node.prefix for node in self._registry.nodes() if not node.drained]
        counted = self._store.loads(open_nodes)
        loads = {prefix: (load + self._given[prefix, at], at) for prefix, (load, at) in counted.items()}
        if not loads:
            return None
        chosen = min(loads, key=lambda prefix: loads[prefix])
        at = loads[chosen][1]
        for old in [key for key in self._given if key[0] == chosen and key[1] != at]:
            del self._given[old]
        self._given[chosen, at] += 1
        return chosen

    def load(self, prefix: str) -> tuple[int, int]:
        """How many rooms and how many calls are on a node."""
        return self._store.count_on(prefix)

    def state(self) -> dict[str, bool]:
        return {node.prefix: self.is_up(node.prefix) for node in self._registry.nodes()}
