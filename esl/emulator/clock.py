"""The node's time: real, faster than real, or moved by a test.

All times are seconds since the epoch as a float; all delays are seconds of the node's time.
"""

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.event import Event as Flag

Action = Callable[[], object]


class Timer(Protocol):
    """Something scheduled that can still be called off."""

    def cancel(self) -> None: ...


class AnyClock(Protocol):
    """What the emulator asks of a clock."""

    def now(self) -> float: ...

    def call_later(self, delay: float, action: Action) -> Timer: ...

    def sleep(self, delay: float) -> None: ...


class _RealTimer:
    def __init__(self, delay: float, action: Action) -> None:
        gevent.get_hub().loop.update_now()  # or the delay would count from when the loop last looked
        self._greenlet = gevent.spawn_later(max(0.0, delay), action)

    def cancel(self) -> None:
        self._greenlet.kill(block=False)


class Clock:
    """Real time, `speed` times as fast: with `speed=10` a 30 s file takes 3 s."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._epoch = time.time()
        self._origin = time.monotonic()

    def now(self) -> float:
        return self._epoch + (time.monotonic() - self._origin) * self.speed

    def call_later(self, delay: float, action: Action) -> Timer:
        return _RealTimer(delay / self.speed, action)

    def sleep(self, delay: float) -> None:
        gevent.get_hub().loop.update_now()
        gevent.sleep(delay / self.speed)


class _ManualTimer:
    def __init__(self, action: Action) -> None:
        self.action: Action | None = action

    def cancel(self) -> None:
        self.action = None


class ManualClock:
    """Time that stands still until `advance` moves it, so a test needs no sleeps.

    `advance` runs what falls due in order of time (first scheduled first among equals) and lets the greenlets it wakes
    run up to where they wait again, before time moves on.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _ManualTimer]] = []

    def now(self) -> float:
        return self._now

    def call_later(self, delay: float, action: Action) -> Timer:
        timer = _ManualTimer(action)
        heapq.heappush(self._timers, (self._now + max(0.0, delay), next(self._order), timer))
        return timer

    def sleep(self, delay: float) -> None:
        woken = Flag()
        self.call_later(delay, woken.set)
        woken.wait()

    def advance(self, seconds: float) -> None:
        self.advance_to(self._now + seconds)

    def advance_to(self, when: float) -> None:
        """Move to `when`; a time already past runs only what is due now."""
        when = max(when, self._now)
        while self._timers and self._timers[0][0] <= when:
            due, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, due)
            if timer.action is not None:
                timer.action()
                gevent.idle()
        self._now = when
        gevent.idle()
