"""When webhooks that are sent out of order are read, without a store."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from controller.errors import Fenced, ScriptFailed, StoreUnavailable
from controller.webhooks.message import Webhook
from controller.webhooks.reader import RetryQueue

ROW = ["7-0", "demo", "conference.created", "r", 1000, '{"sequence":1}', 3, 2, ""]


class Store:
    """Gives `replies` in turn, or raises them; then nothing is due any more."""

    def __init__(self, *replies: dict[str, Any] | Exception) -> None:
        self.replies = list(replies)
        self.asked: list[dict[str, Any]] = []
        self.busy: list[str] = []
        self.queue = RetryQueue(self.step, lambda: self.busy)

    def step(self, script: str, **args: Any) -> dict[str, Any]:
        assert script == "delivery_aside"
        self.asked.append(args)
        reply = self.replies.pop(0) if self.replies else {}
        if isinstance(reply, Exception):
            raise reply
        return {"due": [], **reply}


def test_what_is_due_when_the_partition_is_taken_comes_at_once() -> None:
    store = Store({"due": [ROW]})
    store.busy = ["other"]
    (webhook,) = next(store.queue.follow())
    assert store.asked[0]["busy"] == {"other": True}
    expected = Webhook("7-0", "demo", "conference.created", "r", 1000, b'{"sequence":1}', 3, 0.0, True, 2)
    assert [getattr(webhook, name) for name in Webhook.__slots__] == [
        getattr(expected, name) for name in Webhook.__slots__
    ]


def test_the_store_says_when_the_next_is_due() -> None:
    webhooks = Store({"wait": 20}, {"due": [ROW]}).queue.follow()
    assert next(webhooks) == []
    assert len(next(webhooks)) == 1


def test_one_that_is_due_sooner_is_not_waited_for_longer() -> None:
    store = Store({"wait": 60_000}, {"due": [ROW]})
    webhooks = store.queue.follow()
    assert next(webhooks) == []
    waiting = gevent.spawn(next, webhooks)
    gevent.spawn_later(0.01, store.queue.due_in, 0.01)
    assert len(waiting.get(timeout=30)) == 1
    assert len(store.asked) == 2


def test_a_store_that_is_away_is_asked_again() -> None:
    store = Store(StoreUnavailable("away"), {"due": [ROW]})
    assert len(next(store.queue.follow())) == 1


def test_a_queue_that_cannot_be_read_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(ScriptFailed("garbage"), {"due": [ROW]})
    with gevent.Timeout(0.05, False):
        next(store.queue.follow())
        pytest.fail("it did not wait")
    monkeypatch.setattr("controller.webhooks.reader.BROKEN_SECONDS", 0.01)
    store = Store(ScriptFailed("garbage"), {"due": [ROW]})
    assert len(next(store.queue.follow())) == 1


def test_who_is_fenced_reads_no_more() -> None:
    with pytest.raises(Fenced):
        next(Store(Fenced()).queue.follow())
