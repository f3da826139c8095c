"""The queue against a model: an outbox in which every webhook is at its place until it is done with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.webhooks.message import Webhook
from controller.webhooks.ordering import OrderingQueue, Window

WEIGHT = Webhook("", "", "", "", 0, b"").weight
WINDOW = WEIGHT * 6
PAGE = 4


class OrderingMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = OrderingQueue()
        self.outbox: list[Webhook] = []  # in order; what is done with is gone
        self.written = 0
        self.in_flight: list[Webhook] = []
        self.held: list[Webhook] = []
        self.out_of_order = 0

    def offer(self, webhook: Webhook) -> None:
        if self.queue.offer(webhook, WINDOW):
            self.hold(webhook)

    def hold(self, head: Webhook | None) -> None:
        if head is not None and head.wait:
            self.held.append(head)

    def remove(self, webhook: Webhook) -> None:
        self.hold(self.queue.remove(webhook))

    @rule(key=st.sampled_from("abc"), wait=st.sampled_from((0.0, 0.0, 1.0)))
    def write(self, key: str, wait: float) -> None:
        """One with a wait was attempted before this process read it."""
        self.written += 1
        webhook = Webhook(str(self.written), "app", "t", key, 0, b"", wait=wait)
        self.outbox.append(webhook)
        self.offer(webhook)

    @precondition(lambda self: self.out_of_order < 3)
    @rule()
    def come_back_from_the_retry_queue(self) -> None:
        self.written += 1
        self.out_of_order += 1
        self.offer(Webhook(str(self.written), "app", "t", "a", 0, b"", attempts=3, in_retry_queue=True))

    @precondition(lambda self: self.queue.unread is not None)
    @rule()
    def refill(self) -> None:
        """A page at a time, as the outbox is read."""
        start = int(self.queue.unread or 0)
        page = [w for w in self.outbox if int(w.entry) >= start][:PAGE]
        rest = str(int(page[-1].entry) + 1) if len(page) == PAGE else None
        for head in self.queue.refill(page, rest, WINDOW):
            self.hold(head)

    @rule()
    def take(self) -> None:
        if self.queue.is_ready:
            webhook = self.queue.take()
            assert webhook.waits_for not in {w.waits_for for w in self.in_flight}
            self.in_flight.append(webhook)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data: Any, fails: bool) -> None:
        webhook = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if fails:
            webhook.wait = 1.0
            self.held.append(webhook)
            return
        if webhook.in_retry_queue:
            self.out_of_order -= 1
        else:
            # It was the first of its ordering key in the outbox: order holds, and nothing was skipped.
            assert webhook is next(w for w in self.outbox if w.ordering_key == webhook.ordering_key)
            self.outbox.remove(webhook)
        self.remove(webhook)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def wake(self, data: Any) -> None:
        self.queue.retry(self.held.pop(data.draw(st.integers(0, len(self.held) - 1))))

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.queue.size <= WINDOW + 3 * WEIGHT
        assert self.queue.size == WEIGHT * len(self.queue)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        unread = int(self.queue.unread) if self.queue.unread else self.written + 1
        waiting = sum(int(w.entry) < unread for w in self.outbox)
        assert len(self.queue) == waiting + self.out_of_order
        assert self.queue.is_empty == (not self.outbox and not self.out_of_order and self.queue.unread is None)

    def teardown(self) -> None:
        """Everything can be brought to its end."""
        while not self.queue.is_empty:
            while self.held:
                self.queue.retry(self.held.pop())
            while self.queue.is_ready:
                self.in_flight.append(self.queue.take())
            for webhook in self.in_flight:
                if webhook.in_retry_queue:
                    self.out_of_order -= 1
                else:
                    self.outbox.remove(webhook)
                self.remove(webhook)
            self.in_flight.clear()
            if self.queue.unread is not None:
                self.refill()
        assert not self.outbox


OrderingMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestOrdering = OrderingMachine.TestCase


@pytest.mark.parametrize(("apps", "size"), [(0, 400), (1, 400), (4, 250), (100, 100)])
def test_apps_share_the_memory_within_bounds(apps: int, size: int) -> None:
    window = Window(total=1000, minimum=100, maximum=400)
    assert window.bytes == 400
    window.share(apps)
    assert window.bytes == size
