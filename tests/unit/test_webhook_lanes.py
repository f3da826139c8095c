"""Lanes against a model: an outbox in which every webhook is at its place until it is settled."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.webhooks.message import Webhook
from controller.webhooks.ordering import Lanes

WEIGHT = Webhook("", "", "", "", 0, b"").weight
WINDOW = WEIGHT * 6


class LanesMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes()
        self.outbox: list[Webhook] = []  # in order; what is settled is gone
        self.read = 0  # of the outbox's entries ever written, how many were offered
        self.written = 0
        self.sent: dict[str, list[int]] = {}
        self.under_way: list[Webhook] = []
        self.held: list[Webhook] = []
        self.alone = 0

    def offer(self, webhook: Webhook) -> None:
        waits = bool(webhook.wait)
        if self.lanes.offer(webhook, WINDOW) and waits:
            self.held.append(webhook)

    @rule(lane=st.sampled_from("abc"))
    def write(self, lane: str) -> None:
        self.written += 1
        webhook = Webhook(str(self.written), "app", "t", lane, 0, b"")
        self.outbox.append(webhook)
        self.offer(webhook)

    @precondition(lambda self: self.alone < 3)
    @rule()
    def come_back_alone(self) -> None:
        self.written += 1
        self.alone += 1
        self.offer(Webhook(str(self.written), "app", "t", "a", 0, b"", attempts=3, alone=True))

    @precondition(lambda self: self.lanes.unread is not None)
    @rule()
    def refill(self) -> None:
        start = int(self.lanes.unread or 0)
        self.lanes.unread = None
        for webhook in [w for w in self.outbox if int(w.entry) >= start]:
            self.offer(webhook)

    @rule()
    def take(self) -> None:
        webhook = self.lanes.take()
        if webhook is not None:
            assert webhook.place not in {w.place for w in self.under_way}
            self.under_way.append(webhook)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), fails=st.booleans())
    def settle(self, data: Any, fails: bool) -> None:
        webhook = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        if fails:
            webhook.wait = 1.0
            self.held.append(webhook)
            return
        if webhook.alone:
            self.alone -= 1
        else:
            # It was the first of its lane in the outbox: order holds, and nothing was skipped.
            assert webhook is next(w for w in self.outbox if w.lane == webhook.lane)
            self.outbox.remove(webhook)
        self.lanes.settle(webhook)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def wake(self, data: Any) -> None:
        self.lanes.wake(self.held.pop(data.draw(st.integers(0, len(self.held) - 1))))

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.lanes.size <= WINDOW + 3 * WEIGHT
        assert self.lanes.size == WEIGHT * len(self.lanes)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        unread = int(self.lanes.unread) if self.lanes.unread else self.written + 1
        waiting = sum(int(w.entry) < unread for w in self.outbox)
        assert len(self.lanes) == waiting + self.alone
        assert self.lanes.is_empty == (not self.outbox and not self.alone)

    def teardown(self) -> None:
        """Everything can be brought to its end."""
        while not self.lanes.is_empty:
            while self.held:
                self.lanes.wake(self.held.pop())
            while (webhook := self.lanes.take()) is not None:
                self.under_way.append(webhook)
            for webhook in self.under_way:
                if webhook.alone:
                    self.alone -= 1
                else:
                    self.outbox.remove(webhook)
                self.lanes.settle(webhook)
            self.under_way.clear()
            if self.lanes.unread is not None:
                self.refill()
        assert not self.outbox


LanesMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestLanes = LanesMachine.TestCase
