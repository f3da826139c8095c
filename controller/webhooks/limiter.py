"""Which endpoint may have an attempt next: endpoints take turns, within limits in all and for each."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

SLOW_SECONDS = 1.0  # an endpoint that takes longer for an attempt counts as slow
FIRST_LIMIT = 2  # attempts at a time to an endpoint that has not responded yet; doubles with each response


class Limited(ABC):
    """What makes attempts at one endpoint. Its attributes are changed by the limiter only."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.limit = FIRST_LIMIT
        self.is_slow = False
        self.is_queued = False
        self.used_at = 0.0
        self.paused_until = 0.0

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it has something that may be sent."""

    @abstractmethod
    def start(self, slow: bool) -> None:
        """Begins an attempt, and passes `slow` to `Limiter.finished` when that has ended."""


class Limiter:
    """`total` attempts at a time, `per_endpoint` to one endpoint at the most. Slow endpoints come first while they
    have less than an eighth of the attempts, else last, and never have more than half.

    An endpoint's limit grows with its responses and falls to one when it gives none, so that dead ones hold up few
    attempts. `clock`: monotonic seconds.
    """

    def __init__(self, total: int, per_endpoint: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._per_endpoint = per_endpoint
        self._clock = clock
        self._in_flight = 0
        self._slow_in_flight = 0
        self._queues: tuple[deque[Limited], deque[Limited]] = (deque(), deque())  # of the quick ones, of the slow ones

    def schedule(self, *endpoints: Limited) -> None:
        """Starts all attempts that may start now: to these endpoints, or to others that wait for their turn."""
        for endpoint in endpoints:
            self._queue(endpoint)
        while (first := self._next()) is not None:
            slow = first.is_slow
            first.in_flight += 1
            self._in_flight += 1
            self._slow_in_flight += slow
            first.start(slow)
            self._queue(first)

    def finished(self, endpoint: Limited, slow: bool, seconds: float, *, has_responded: bool) -> None:
        """An attempt has ended after `seconds`. `slow`: as it was given to `start`."""
        endpoint.in_flight -= 1
        self._in_flight -= 1
        self._slow_in_flight -= slow
        endpoint.used_at = self._clock()
        endpoint.is_slow = seconds > SLOW_SECONDS
        if has_responded:
            endpoint.limit = min(self._per_endpoint, endpoint.limit * 2)
        elif endpoint.is_slow:
            endpoint.limit = 1

    def pause(self, endpoint: Limited, seconds: float) -> None:
        """Starts no attempt there for so many seconds. The caller must `schedule` it once that is over."""
        endpoint.paused_until = max(endpoint.paused_until, self._clock() + seconds)

    def _queue(self, endpoint: Limited) -> None:
        if not endpoint.is_queued and self._may_start(endpoint):
            endpoint.is_queued = True
            self._queues[endpoint.is_slow].append(endpoint)

    def _next(self) -> Limited | None:
        """The one whose turn it is; no longer queued."""
        for slow in (True, False) if self._slow_in_flight < self._total // 8 else (False, True):
            queue = self._queues[slow]
            while queue and self._in_flight < self._total:
                if slow and self._slow_in_flight >= max(1, self._total // 2):
                    break
                endpoint = queue.popleft()
                endpoint.is_queued = False
                if self._may_start(endpoint):
                    return endpoint
        return None

    def _may_start(self, endpoint: Limited) -> bool:
        return endpoint.in_flight < endpoint.limit and endpoint.is_ready and endpoint.paused_until <= self._clock()
