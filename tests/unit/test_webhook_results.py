"""How what attempts came to gets into the store, without a store."""

from __future__ import annotations

from typing import Any

import gevent
import orjson
import pytest

from controller.errors import Fenced, ScriptFailed, StoreUnavailable
from controller.store.states import DeliveryState
from controller.webhooks.message import Webhook
from controller.webhooks.results import BATCH, Result, Results
from controller.webhooks.retry import Attempt, Demand, Outcome

TAG = "{p07}"
ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440001"


class Partition:
    """Keeps what a partition's store and its reader of results get. `faults`: are raised in turn by steps."""

    def __init__(self, *faults: Exception) -> None:
        self.steps: list[dict[str, Any]] = []
        self.stored: list[Result] = []
        self.not_stored: list[Result] = []
        self.versions: list[int] = []
        self.faults = list(faults)
        self.results = Results(
            TAG,
            self.step,
            lambda _: {"failed_bytes": 99},
            self.on_stored,
            self.not_stored.append,
            clock=lambda: 12.5,
        )

    def step(self, script: str, **args: Any) -> dict[str, Any]:
        assert script == "delivery_settle"
        self.steps.append(args)
        if self.faults:
            raise self.faults.pop(0)
        return {"endpoints": len(self.steps)}

    def on_stored(self, results: list[Result], version: int) -> None:
        self.stored += results
        self.versions.append(version)

    def store(self) -> None:
        """Until all is stored."""
        loop = gevent.spawn(self.results.run)
        self.results.join()
        loop.kill()


def webhook(number: int = 1, **fields: Any) -> Webhook:
    return Webhook(f"{number}-0", "demo", "conference.created", ROOM, 1000, b"{}", **fields)


def row(attempt: Attempt, outcome: Outcome, **fields: Any) -> dict[str, Any]:
    partition = Partition()
    partition.results.add(webhook(**fields), attempt, outcome, 0.25)
    partition.store()
    (found,) = partition.steps[0]["results"]
    return dict(found)


def test_a_delivery() -> None:
    found = row(Attempt(200, b"ok", mark="m"), Outcome(DeliveryState.DELIVERED), attempts=2)
    assert orjson.loads(found.pop("attempt")) == {"at": 12500, "latency_ms": 250, "status": 200, "answer": "ok"}
    line = {"app": "demo", "room": ROOM, "webhook": "msg_p07-1-0", "outcome": "delivered"}
    assert found == {
        "id": "1-0",
        "app": "demo",
        "type": "conference.created",
        "n": 3,
        "step": "delivered",
        "delay": 0,
        "mark": "m",
        "log": {**line, "attempt": 3, "latency_ms": 250, "status": 200},
    }


@pytest.mark.parametrize(
    ("attempt", "outcome", "expected"),
    [
        (
            Attempt(error="no answer", mark="m"),
            Outcome(DeliveryState.HELD, 5.0004),
            {"fault": "no answer", "delay": 5000, "n": 1},
        ),
        (Attempt(500, mark="m"), Outcome(DeliveryState.ASIDE, 60), {"fault": "it answered 500", "delay": 60000}),
        (
            Attempt(410, mark="m", demand=Demand(disable="gone")),
            Outcome(DeliveryState.FAILED),
            {"disable": "gone", "step": "failed"},
        ),
        (Attempt(skipped="not wanted"), Outcome(DeliveryState.SKIPPED), {"n": 0, "step": "skipped"}),
        (Attempt(withheld="disabled"), Outcome(DeliveryState.FAILED), {"n": 0, "step": "failed"}),
    ],
)
def test_what_failed_says_why(attempt: Attempt, outcome: Outcome, expected: dict[str, Any]) -> None:
    found = row(attempt, outcome)
    assert found.items() >= expected.items()
    assert found["log"].get("error") == (attempt.error or attempt.skipped or attempt.withheld)
    assert ("attempt" in found) == ("fault" in found) == attempt.was_made


def test_a_body_that_is_no_text_is_kept_readable() -> None:
    assert (
        orjson.loads(row(Attempt(200, b"\xff\x00"), Outcome(DeliveryState.DELIVERED))["attempt"])["answer"]
        == "\ufffd\x00"
    )


def test_they_are_stored_in_their_order_and_in_batches() -> None:
    partition = Partition()
    for number in range(BATCH + 1):
        partition.results.add(webhook(number), Attempt(200), Outcome(DeliveryState.DELIVERED), 0)
    partition.results.add_malformed("999-0")
    partition.store()
    assert [len(step["results"]) for step in partition.steps] == [BATCH, 2]
    assert [result.row["id"] for result in partition.stored] == [*(f"{n}-0" for n in range(BATCH + 1)), "999-0"]
    assert partition.stored[-1].webhook is None
    assert partition.versions == [1, 2]


def test_a_store_that_is_away_gets_them_later() -> None:
    partition = Partition(StoreUnavailable("away"))
    partition.results.add(webhook(), Attempt(500), Outcome(DeliveryState.FAILED), 0)
    partition.store()
    assert len(partition.stored) == 1
    assert partition.steps[0] == partition.steps[1]
    assert partition.steps[1]["failed_bytes"] == {"demo": 99}


def test_who_is_fenced_stores_nothing_more() -> None:
    partition = Partition(Fenced())
    partition.results.add(webhook(), Attempt(200), Outcome(DeliveryState.DELIVERED), 0)
    with pytest.raises(Fenced):
        partition.results.run()
    assert not partition.stored


def test_a_result_that_the_store_cannot_take_holds_up_no_other() -> None:
    partition = Partition(ScriptFailed("together"), ScriptFailed("the first alone"))
    for number in (1, 2, 3):
        partition.results.add(webhook(number), Attempt(204), Outcome(DeliveryState.DELIVERED), 0.1)
    partition.store()
    sizes = [len(step["results"]) for step in partition.steps]
    assert sizes == [3, 1, 2]
    assert [result.row["id"] for result in partition.not_stored] == ["1-0"]
    assert [result.row["id"] for result in partition.stored] == ["2-0", "3-0"]
    assert partition.versions == [3]
