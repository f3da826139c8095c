"""How full the store is: for Prometheus, and for the log before it is out of memory."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gevent
import structlog
from prometheus_client import Gauge

from controller.errors import StoreUnavailable
from controller.store.store import Store

log = structlog.get_logger(__name__)

# One server has no label, each primary of a cluster its address.
used_bytes = Gauge("switchroom_store_memory_used_bytes", "Memory that the store uses", ["server"])
max_bytes = Gauge(
    "switchroom_store_memory_max_bytes", "Memory that the store may use, 0 if that is not limited", ["server"]
)

LOOK_SECONDS = 5.0
# Shares of a store's memory: past the one there is a warning, and another only after less than the other was used.
HIGH = 0.8
LOW = 0.7


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a server uses, and may use; `limit` is 0 where there is none."""

    used: int
    limit: int

    @classmethod
    def of(cls, info: dict[str, Any]) -> Memory:
        """`info`: INFO's section `memory`."""
        return cls(int(info.get("used_memory", 0)), int(info.get("maxmemory", 0)))

    @property
    def share(self) -> float:
        return self.used / self.limit if self.limit else 0.0

    def __str__(self) -> str:
        return f"{self.share:.0%} of {self.limit >> 20} MiB used"


class MemoryWatch:
    """Looks every few seconds, and warns once each time that a server is nearly full."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._warned: set[str] = set()
        self._greenlet: gevent.Greenlet[..., Any] | None = None

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    def stop(self, timeout: float) -> None:
        if self._greenlet is not None:
            self._greenlet.kill(timeout=timeout)

    def look(self) -> None:
        """Raises StoreUnavailable."""
        found = {server: Memory.of(info) for server, info in self._store.info("memory").items()}
        # A primary that is none any more is shown no longer.
        for gauge in (used_bytes, max_bytes):
            gauge.clear()
        for server, memory in found.items():
            used_bytes.labels(server).set(memory.used)
            max_bytes.labels(server).set(memory.limit)
            if memory.share > HIGH and server not in self._warned:
                log.warning("the store is nearly full", memory=str(memory), **({"server": server} if server else {}))
                self._warned.add(server)
            elif memory.share < LOW:
                self._warned.discard(server)

    def _run(self) -> None:
        while True:
            # Whoever needs the store reports that it is away.
            with suppress(StoreUnavailable):
                self.look()
            gevent.sleep(LOOK_SECONDS)
