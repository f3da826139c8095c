"""The event log of all partitions, merged by time: what was logged, and what is logged from now on."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any

import gevent
import orjson
import structlog
from gevent.queue import Empty, Queue

from controller.errors import StoreUnavailable
from controller.store import keys
from controller.store.store import BEGINNING, Store

log = structlog.get_logger(__name__)

PAGE = 500
WAIT_SECONDS = 0.5  # less than the store's timeout
RETRY_SECONDS = 1.0
LAST_OF_ITS_MS = 2**64 - 1  # the highest number that an id of a stream can have after its milliseconds
# Entries of several readers that come within this time are put in order.
MERGE_SECONDS = 0.05

Entry = dict[str, Any]


class Log:
    """The event log of a store. Reads go on from where they ended, also after the store was away."""

    def __init__(self, store: Store, reader: Store) -> None:
        self._store = store
        self._reader = reader
        self._last: dict[str, str] = {}

    def past(self, since: int) -> Iterator[Entry]:
        """What was logged from `since` (epoch milliseconds) until now, in order. Raises StoreUnavailable."""
        yield from heapq.merge(*(self._stream(tag, since) for tag in keys.TAGS), key=time_of)

    def skip(self) -> None:
        """Leave out what was logged until now. Raises StoreUnavailable."""
        for tag in keys.TAGS:
            stream = keys.key(tag, "log")
            self._last[stream] = self._store.newest(stream)

    def follow(self) -> Iterator[Entry]:
        """What is logged from here on, without end."""
        groups = self._store.followed_together
        arrived: Queue[list[Entry]] = Queue(maxsize=16)
        readers = [gevent.spawn(self._read, group, arrived) for group in groups]
        try:
            while True:
                entries = arrived.get()
                with_more = len(groups) > 1
                while with_more:
                    try:
                        entries += arrived.get(timeout=MERGE_SECONDS)
                    except Empty:
                        with_more = False
                yield from sorted(entries, key=time_of)
        finally:
            gevent.killall(readers)

    def _stream(self, tag: str, since: int) -> Iterator[Entry]:
        stream = keys.key(tag, "log")
        # The id right before the first that could be: what is older is neither past nor followed.
        self._last[stream] = f"{since - 1}-{LAST_OF_ITS_MS}" if since else BEGINNING
        while True:
            page = self._store.read(stream, f"({self._last[stream]}", count=PAGE)
            for position, fields in page:
                self._last[stream] = position
                yield from parsed(fields)
            if len(page) < PAGE:
                return

    def _read(self, tags: list[str], arrived: Queue[list[Entry]]) -> None:
        streams = [keys.key(tag, "log") for tag in tags]
        away = False
        while True:
            try:
                positions = {stream: self._last.get(stream, BEGINNING) for stream in streams}
                found = self._reader.follow(positions, count=PAGE, wait=WAIT_SECONDS)
            except StoreUnavailable as error:
                if not away:
                    log.warning("the store is not available; waiting for it", reason=str(error))
                away = True
                gevent.sleep(RETRY_SECONDS)
                continue
            away = False
            entries = []
            for stream, page in found.items():
                self._last[stream] = page[-1][0]
                entries += [entry for _, fields in page for entry in parsed(fields)]
            if entries:
                arrived.put(entries)


def parsed(fields: Mapping[bytes, bytes]) -> Iterator[Entry]:
    try:
        entry = orjson.loads(fields[b"e"])
    except (KeyError, orjson.JSONDecodeError):
        return
    if isinstance(entry, dict):
        yield entry


def time_of(entry: Entry) -> float:
    at = entry.get("at")
    return at if isinstance(at, int | float) else 0
