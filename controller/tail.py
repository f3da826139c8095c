"""Follows the event log of all partitions, merged by time.

Entries hold what callers and tenants chose (names, numbers, URLs); none of it reaches a terminal unescaped.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import gevent
import orjson
import structlog
from gevent.queue import Empty, Queue
from redis.exceptions import RedisError
from rich.text import Text

from controller.logs import escaped
from controller.store import keys
from controller.store.store import Store

log = structlog.get_logger(__name__)

PAGE = 500
BLOCK_MS = 500  # less than the store's timeout
RETRY_SECONDS = 1.0
LAST_OF_ITS_MS = 2**64 - 1  # the highest number that an id of a stream can have after its milliseconds
# Entries of several readers that come within this time are put in order.
MERGE_SECONDS = 0.05

Entry = dict[str, Any]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COLORS = {
    "command": "cyan",
    "refused": "red",
    "event": "green",
    "state": "blue",
    "webhook": "magenta",
    "delivery": "yellow",
}
_COLUMNS = ("app", "room", "session", "operation")


@dataclass(frozen=True, slots=True)
class Filter:
    """Shell patterns by field; an entry passes when each field matches one of its patterns."""

    patterns: Mapping[str, tuple[str, ...]]

    def __call__(self, entry: Entry) -> bool:
        return all(
            any(fnmatchcase(str(entry.get(name) or ""), pattern) for pattern in patterns)
            for name, patterns in self.patterns.items()
            if patterns
        )


def parse_since(text: str, now: float) -> int:
    """`10m`, `2h`, `1d` ago, or an ISO 8601 time, as epoch milliseconds, 0 at the least. Raises ValueError."""
    if found := re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip()):
        return max(0, int((now - int(found[1]) * _UNITS[found[2]]) * 1000))
    try:
        return max(0, int(datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1000))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is neither a time such as 10m, 2h or 1d nor ISO 8601") from None


class Log:
    """The event log of a store. Reads go on from where they ended, also after the store was away."""

    def __init__(self, store: Store, reader: Store) -> None:
        self._store = store
        self._reader = reader
        self._last: dict[str, str] = {}

    def past(self, since: int) -> Iterator[Entry]:
        """What was logged from `since` (epoch milliseconds) until now, in order. Raises StoreUnavailable."""
        yield from heapq.merge(*(self._stream(tag, since) for tag in keys.TAGS), key=_time_of)

    def skip(self) -> None:
        """Leave out what was logged until now. Raises StoreUnavailable."""
        for tag in keys.TAGS:
            stream = keys.key(tag, "log")
            with self._store.guard():
                newest = self._store.client.xrevrange(stream, count=1)
            self._last[stream] = newest[0][0].decode() if newest else "0-0"

    def follow(self) -> Iterator[Entry]:
        """What is logged from here on, without end."""
        # One server answers for all partitions in one read; on a cluster each is on a server of its own.
        groups = [[tag] for tag in keys.TAGS] if self._store.clustered else [list(keys.TAGS)]
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
                yield from sorted(entries, key=_time_of)
        finally:
            gevent.killall(readers)

    def _stream(self, tag: str, since: int) -> Iterator[Entry]:
        stream = keys.key(tag, "log")
        # The id right before the first that could be: what is older is neither past nor followed.
        self._last[stream] = f"{since - 1}-{LAST_OF_ITS_MS}" if since else "0-0"
        while True:
            with self._store.guard():
                page = self._store.client.xrange(stream, min=f"({self._last[stream]}", count=PAGE)
            for entry_id, fields in page:
                self._last[stream] = entry_id.decode()
                yield from _entries(fields)
            if len(page) < PAGE:
                return

    def _read(self, tags: list[str], arrived: Queue[list[Entry]]) -> None:
        streams = [keys.key(tag, "log") for tag in tags]
        away = False
        while True:
            try:
                answer = self._reader.client.xread(
                    {stream: self._last.get(stream, "0-0") for stream in streams}, count=PAGE, block=BLOCK_MS
                )
            except (RedisError, OSError) as error:
                if not away:
                    log.warning("the store is not available; waiting for it", reason=str(error))
                away = True
                gevent.sleep(RETRY_SECONDS)
                continue
            away = False
            entries = []
            for stream, page in answer:
                self._last[stream.decode()] = page[-1][0].decode()
                entries += [entry for _, fields in page for entry in _entries(fields)]
            if entries:
                arrived.put(entries)


def as_json(entry: Entry) -> str:
    """One line, ASCII only, so that nothing in it can act on a terminal."""
    return json.dumps(entry, separators=(",", ":"))


def as_text(entry: Entry, now: datetime | None = None) -> Text:
    """One line in columns for people. No markup is read in it, and control characters are escaped."""
    now = now or datetime.now()
    kind = _shown(entry.get("kind"))
    line = Text().append(_clock(entry.get("at"), now), style="dim")
    line.append(f" {kind:<8} ", style=_COLORS.get(kind, ""))
    line.append(f"{_shown(entry.get('type')):<32}", style="bold")
    for name in _COLUMNS:
        if entry.get(name):
            line.append(f" {name}=", style="dim")
            line.append(_shown(entry[name]))
    for name, value in entry.items():
        if name not in ("at", "kind", "type", *_COLUMNS) and value not in (None, ""):
            line.append(f" {escaped(name)}=", style="dim")
            line.append(_clock(value, now) if name.endswith("_at") else _shown(value), style="dim")
    line.rstrip()
    return line


def show(entries: Iterable[Entry], wanted: Filter, write: Callable[[Entry], None]) -> None:
    for entry in entries:
        if wanted(entry):
            write(entry)


def _entries(fields: Mapping[bytes, bytes]) -> Iterator[Entry]:
    try:
        entry = orjson.loads(fields[b"e"])
    except (KeyError, orjson.JSONDecodeError):
        return
    if isinstance(entry, dict):
        yield entry


def _time_of(entry: Entry) -> float:
    at = entry.get("at")
    return at if isinstance(at, int | float) else 0


def _clock(at: Any, now: datetime) -> str:
    """Local time, with the date unless it is today's."""
    try:
        moment = datetime.fromtimestamp(at / 1000)
    except (TypeError, ValueError, OverflowError, OSError):
        return "--:--:--.---"
    return moment.strftime("%H:%M:%S.%f" if moment.date() == now.date() else "%Y-%m-%d %H:%M:%S.%f")[:-3]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return escaped(value)
    return "" if value is None else json.dumps(value, separators=(",", ":"))
