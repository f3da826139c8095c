"""Who may work next: apps take turns, within limits in all and for each."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.event import Event as Flag


class Turns:
    """`total` turns at a time, `per_app` of one app at the most. Apps stand in one line: one that is given a turn, and
    waits for more, goes to its end. An app's own turns keep their order.
    """

    def __init__(self, total: int, per_app: int) -> None:
        self._free = total
        self._per_app = per_app
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[Flag]] = {}  # the app at the head of the line comes first

    @contextmanager
    def turn(self, app_id: str, seconds: float | None = None, late: Exception | None = None) -> Iterator[None]:
        """Waits for a turn, which lasts as long as the block; for `seconds` at most, and then raises `late`."""
        mine = Flag()
        self._waiting.setdefault(app_id, deque()).append(mine)
        self._give()
        try:
            with gevent.Timeout(seconds, late):
                mine.wait()
            yield
        finally:
            # The wait may have been cut off, even after the turn was given.
            if mine.is_set():
                self._free += 1
                self._taken[app_id] -= 1
                if not self._taken[app_id]:
                    del self._taken[app_id]
                self._give()
            else:
                self._leave(app_id, mine)

    def _give(self) -> None:
        while self._free:
            app_id = next((each for each in self._waiting if self._taken[each] < self._per_app), None)
            if app_id is None:
                return
            waiting = self._waiting[app_id]
            first = waiting[0]
            self._leave(app_id, first)
            if waiting:
                self._waiting[app_id] = self._waiting.pop(app_id)  # behind all others
            self._free -= 1
            self._taken[app_id] += 1
            first.set()

    def _leave(self, app_id: str, flag: Flag) -> None:
        self._waiting[app_id].remove(flag)
        if not self._waiting[app_id]:
            del self._waiting[app_id]
