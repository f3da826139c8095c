"""An app's webhooks in memory: lanes in order, side by side, within a bound. Pure: no clock, no store, no
network.
"""

from __future__ import annotations

from collections import deque

from controller.webhooks.message import Webhook


class Lanes:
    """The first of each lane is its head: ready to be sent, under way, or held until its retry. The others
    wait.

    What does not fit in the window stays in the outbox: from the first that was refused (`unread`, a position
    for the outbox) on, every one of the app is, so that no lane is read with a gap.
    """

    def __init__(self) -> None:
        self.size = 0
        self.unread: str | None = None
        self._lanes: dict[str, deque[Webhook]] = {}
        self._ready: deque[str] = deque()

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    @property
    def is_ready(self) -> bool:
        return bool(self._ready)

    @property
    def is_empty(self) -> bool:
        return not self._lanes and self.unread is None

    def offer(self, webhook: Webhook, window: int) -> bool:
        """Takes it, unless `window` bytes are filled or earlier ones wait to be read. -> whether a new head
        came: one that is ready, or that the caller wakes when its wait is over.
        """
        if not webhook.alone and (self.unread is not None or (self.size + webhook.weight > window and self._lanes)):
            self.unread = self.unread or webhook.entry
            return False
        self.size += webhook.weight
        lane = self._lanes.get(webhook.place)
        if lane is not None:
            lane.append(webhook)
            return False
        self._lanes[webhook.place] = deque((webhook,))
        if not webhook.wait:
            self._ready.append(webhook.place)
        return True

    def take(self) -> Webhook | None:
        """The head of the lane that has been ready for longest. It stays the head until `settle`."""
        return self._lanes[self._ready.popleft()][0] if self._ready else None

    def wake(self, webhook: Webhook) -> None:
        """A head may be sent (again)."""
        webhook.wait = 0.0
        self._ready.append(webhook.place)

    def settle(self, webhook: Webhook) -> Webhook | None:
        """A head is done with, or has left its lane. -> the new head, not ready when it has a wait."""
        lane = self._lanes[webhook.place]
        lane.popleft()
        self.size -= webhook.weight
        if not lane:
            del self._lanes[webhook.place]
            return None
        if not lane[0].wait:
            self._ready.append(webhook.place)
        return lane[0]
