"""An app's webhooks in memory: in order within an ordering key, side by side across keys, within a bound. Pure: no
clock, no store, no network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from controller.webhooks.message import Webhook


@dataclass(slots=True)
class Window:
    """How many bytes of webhooks an app may have in memory. The apps that have any share `total`; each gets `minimum`
    at least and `maximum` at the most.
    """

    total: int = 64 << 20
    minimum: int = 64 << 10
    maximum: int = 4 << 20
    bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.bytes = self.maximum

    def share(self, apps: int) -> None:
        self.bytes = max(self.minimum, min(self.maximum, self.total // max(apps, 1)))


class OrderingQueue:
    """The first webhook of each ordering key is its head: ready to be sent, in flight, or waiting for its retry. The
    others wait for the head.

    What does not fit in the window stays in the outbox. From the first webhook that did not fit (`unread`, its position
    there) on, none of the app is taken, so that no ordering key has a gap.
    """

    def __init__(self) -> None:
        self.size = 0  # in bytes
        self.unread: str | None = None
        self._queues: dict[str, deque[Webhook]] = {}
        self._ready: deque[str] = deque()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    @property
    def is_ready(self) -> bool:
        return bool(self._ready)

    @property
    def is_empty(self) -> bool:
        return not self._queues and self.unread is None

    def offer(self, webhook: Webhook, max_bytes: int) -> bool:
        """Takes it, unless `max_bytes` are filled or earlier ones wait to be read. Returns whether a new head
        came: one that is ready, or that the caller passes to `retry` when its wait is over.
        """
        if not webhook.in_retry_queue and (
            self.unread is not None or (self._queues and self.size + webhook.weight > max_bytes)
        ):
            self.unread = self.unread or webhook.entry
            return False
        self.size += webhook.weight
        queue = self._queues.get(webhook.waits_for)
        if queue is not None:
            queue.append(webhook)
            return False
        self._queues[webhook.waits_for] = deque((webhook,))
        if not webhook.wait:
            self._ready.append(webhook.waits_for)
        return True

    def refill(self, webhooks: Iterable[Webhook], rest: str | None, max_bytes: int) -> list[Webhook]:
        """Takes what did not fit: `webhooks` are the app's from `unread` up to `rest`, which becomes `unread` when they
        all fit; None when there are no more. Returns the new heads, as of `offer`.
        """
        self.unread = None
        heads = [webhook for webhook in webhooks if self.offer(webhook, max_bytes)]
        self.unread = self.unread or rest
        return heads

    def take(self) -> Webhook:
        """The head that has been ready for longest. It stays the head until `remove`. Raises IndexError when none is
        ready.
        """
        return self._queues[self._ready.popleft()][0]

    def retry(self, webhook: Webhook) -> None:
        """A head may be sent (again)."""
        webhook.wait = 0.0
        self._ready.append(webhook.waits_for)

    def remove(self, webhook: Webhook) -> Webhook | None:
        """A head is done with, or goes to the retry queue. Returns the new head, not ready when it has a wait."""
        queue = self._queues[webhook.waits_for]
        queue.popleft()
        self.size -= webhook.weight
        if not queue:
            del self._queues[webhook.waits_for]
            return None
        if not queue[0].wait:
            self._ready.append(webhook.waits_for)
        return queue[0]
