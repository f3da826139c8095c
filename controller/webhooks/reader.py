"""How webhooks get from the store into memory: new ones from the outbox, failed ones from the retry queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
import structlog
from gevent.event import Event as Flag

from controller.errors import ScriptFailed, StoreUnavailable
from controller.store import keys
from controller.store.store import BEGINNING, Entry, Store
from controller.webhooks.message import Webhook
from controller.webhooks.retry import STORE_RETRY_SECONDS

PAGE = 200  # entries of the outbox read at a time
WAIT_SECONDS = 5.0  # that a read of the outbox waits for entries; half the store's timeout at the most
RETRY_PAGE = 16  # of an app's webhooks in the retry queue, loaded at a time
RETRY_TOTAL = 128
BROKEN_SECONDS = 60.0  # until a retry queue that cannot be read is read again

log = structlog.get_logger(__name__)


class Outbox:
    """A partition's webhooks that are sent in order. `following`: a store of its own for the reads that wait. `cursor`:
    the position up to which it was read.
    """

    def __init__(self, store: Store, following: Store, tag: str) -> None:
        self.cursor = BEGINNING
        self._store = store
        self._following = following
        self._tag = tag
        self._stream = keys.key(tag, "outbox")

    def follow(self) -> Iterator[list[Entry]]:
        """From the start, and then as it grows. One such read waits for each partition: the outboxes are in different
        slots of a cluster, so no read covers two.
        """
        wait = min(WAIT_SECONDS, self._following.timeout / 2)
        while True:
            entries = self._ask(lambda: self._news(wait))
            if entries:
                self.cursor = entries[-1][0]
                yield entries

    def read(self, start: str) -> tuple[list[Entry], str | None]:
        """Reads from `start` up to the cursor. Returns a page, and where to go on; None when this was all."""
        end = self.cursor
        page = self._ask(lambda: self._store.read(self._stream, start, end, count=PAGE))
        if len(page) == PAGE:
            return page, f"({page[-1][0]}"
        return page, None if self.cursor == end else f"({end}"

    def _news(self, wait: float) -> list[Entry]:
        return self._following.follow({self._stream: self.cursor}, count=PAGE, wait=wait).get(self._stream, [])

    def _ask(self, read: Callable[[], list[Entry]]) -> list[Entry]:
        while True:
            try:
                return read()
            except StoreUnavailable as error:
                log.warning("outbox not read", partition=self._tag, error=str(error))
                gevent.sleep(STORE_RETRY_SECONDS)


class RetryQueue:
    """A partition's webhooks that are sent out of order, when they are due. `step(script, **args)`: a step in the
    partition; `busy()`: the apps whose webhooks are being sent, so that no more are read.
    """

    def __init__(self, step: Callable[..., dict[str, Any]], busy: Callable[[], Iterable[str]]) -> None:
        self._step = step
        self._busy = busy
        self._changed = Flag()
        self._due_at: float | None = time.monotonic()

    def due_in(self, seconds: float) -> None:
        """A webhook is due in so many seconds."""
        at = time.monotonic() + seconds
        if self._due_at is None or at < self._due_at:
            self._due_at = at
            self._changed.set()

    def follow(self) -> Iterator[list[Webhook]]:
        """The webhooks that are due. Raises Fenced."""
        while True:
            self._changed.wait(None if self._due_at is None else max(0.0, self._due_at - time.monotonic()))
            self._changed.clear()
            if self._due_at is None or time.monotonic() < self._due_at:
                continue
            busy = dict.fromkeys(self._busy(), True)
            self._due_at = None
            try:
                reply = self._step("delivery_aside", page=RETRY_PAGE, total=RETRY_TOTAL, busy=busy)
            except StoreUnavailable:
                self.due_in(STORE_RETRY_SECONDS)
                continue
            except ScriptFailed as error:
                log.error("retry queue not read", error=str(error))
                self.due_in(BROKEN_SECONDS)
                continue
            yield [_webhook(*row) for row in reply["due"]]
            if "wait" in reply:
                self.due_in(reply["wait"] / 1000)


def _webhook(
    entry: str, app_id: str, type_: str, ordering_key: str, at: int, data: str, attempts: int, earlier: int, trace: str
) -> Webhook:
    body = data.encode()
    return Webhook(
        entry, app_id, type_, ordering_key, at, body, attempts, in_retry_queue=True, earlier=earlier, trace=trace
    )
