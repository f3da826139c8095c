"""The greenlets in which a partition's attempts are made."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event as Flag
from gevent.lock import Semaphore
from gevent.pool import Group

MAX_IDLE = 32
# Calls after which a greenlet lets all else run. Many wait for nothing: those of apps that want no webhooks.
MAX_TURN = 32


class Attempts:
    """Calls that run side by side. A greenlet that is done with one takes the next: making one for each took a tenth of
    the CPU of a delivery. Up to `MAX_IDLE` wait for more.
    """

    def __init__(self) -> None:
        self._greenlets = Group()
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._unfinished = 0
        self._none = Flag()
        self._none.set()
        # Those that wait and are not about to be woken.
        self._idle = 0
        self._wake = Semaphore(0)
        self._is_closed = False

    def spawn(self, run: Callable[..., None], *args: Any) -> None:
        self._calls.append((run, args))
        self._unfinished += 1
        self._none.clear()
        if self._idle:
            self._idle -= 1
            self._wake.release()
        else:
            self._greenlets.spawn(self._work)

    def join(self) -> None:
        """Waits until none is in flight."""
        self._none.wait()

    def close(self) -> None:
        """What is in flight ends by itself."""
        self._is_closed = True
        while self._idle:
            self._idle -= 1
            self._wake.release()

    def kill(self) -> None:
        """Ends what is in flight, for good."""
        self._is_closed = True
        self._calls.clear()
        self._greenlets.kill()

    def _work(self) -> None:
        made = 0
        while True:
            if self._calls:
                if made == MAX_TURN:
                    made = 0
                    gevent.sleep(0)
                    continue
                made += 1
                run, args = self._calls.popleft()
                try:
                    run(*args)
                finally:
                    self._unfinished -= 1
                    if not self._unfinished:
                        self._none.set()
            elif self._is_closed or self._idle >= MAX_IDLE:
                return
            else:
                self._idle += 1
                self._wake.acquire()
