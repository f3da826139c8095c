"""Which relays live: each publishes its address in the store every few seconds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent

from controller.errors import StoreUnavailable
from controller.store import keys
from controller.store.store import Store

PUBLISH_SECONDS = 2.0
LIVE_SECONDS = 8.0
# For how long what was read is used, and while the store is away it is used on.
FRESH_SECONDS = 1.0


class Relays:
    """The relays that live, as their users see them."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._addresses: list[str] = []
        self._holders: dict[str, str] = {}  # of those that keep recordings, by address
        self._read_at = float("-inf")

    def live(self) -> list[str]:
        """Their addresses, `host:port`."""
        self._read()
        return self._addresses

    def keepers(self) -> list[str]:
        """The addresses of those that keep recordings."""
        self._read()
        return list(self._holders)

    def addresses_of(self, holder: str) -> list[str]:
        """Where the recordings of a folder are to be had."""
        self._read()
        return [address for address, each in self._holders.items() if each == holder]

    def choose(self, app_id: str, url: str) -> list[str]:
        """Their addresses in the order in which to ask them for a file: the same for every node and worker, so that a
        file is fetched once.
        """

        def rank(address: str) -> bytes:
            return hashlib.blake2b(f"{address}\n{app_id}\n{url}".encode("utf-8", "surrogatepass")).digest()

        return sorted(self.live(), key=rank)

    def _read(self) -> None:
        if self._clock() - self._read_at > FRESH_SECONDS:
            with suppress(StoreUnavailable):
                found = self._store.run("relays", keys.REGISTRY, {})
                self._addresses = found["relays"]
                self._holders = dict(keeper.split(" ") for keeper in found["keepers"])
                self._read_at = self._clock()


class RelayPresence:
    """Publishes a relay's `address`, from `start` to `stop`. `holder`: of the recordings that it keeps, "" for none."""

    def __init__(self, store: Store, address: str, holder: str = "") -> None:
        self._store = store
        self._address = address
        self._holder = holder
        self._greenlet: gevent.Greenlet[..., Any] | None = None

    def start(self) -> None:
        """Raises StoreUnavailable."""
        self._publish(LIVE_SECONDS)
        self._greenlet = gevent.spawn(self._run)

    def stop(self, timeout: float) -> None:
        if self._greenlet is not None:
            self._greenlet.kill(timeout=timeout)
            with suppress(StoreUnavailable):
                self._publish(0)

    def _run(self) -> None:
        while True:
            gevent.sleep(PUBLISH_SECONDS)
            with suppress(StoreUnavailable):
                self._publish(LIVE_SECONDS)

    def _publish(self, seconds: float) -> None:
        about = {"address": self._address, "ttl": int(seconds * 1000), "holder": self._holder or None}
        self._store.run("relays", keys.REGISTRY, about)
