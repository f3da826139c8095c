"""Stores the results of attempts: a record, a line of the event log, and how the endpoint does."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import gevent
import orjson
import structlog
from gevent.event import Event as Flag

from controller.errors import ScriptFailed, StoreUnavailable
from controller.ids import is_room_id, webhook_id
from controller.store.states import DeliveryState
from controller.webhooks import metrics
from controller.webhooks.message import Webhook
from controller.webhooks.retry import STORE_RETRY_SECONDS, Attempt, Outcome

BATCH = 100  # stored in one step

log = structlog.get_logger(__name__)

_attempts = cache(metrics.ATTEMPTS.labels)


@dataclass(frozen=True, slots=True)
class Result:
    """`webhook`: None for an outbox entry that is no webhook. `row`: what delivery_settle.lua gets."""

    webhook: Webhook | None
    outcome: Outcome
    row: dict[str, Any]


class Results:
    """Stores a partition's results in the order in which they come. `step(script, **args)`: a step in the partition;
    `quotas_of`: an app's quotas; `stored`: called with the results that were stored, and the endpoints' version;
    `not_stored`: with one that the store cannot take. `clock` gives wall time in seconds.
    """

    def __init__(
        self,
        tag: str,
        step: Callable[..., dict[str, Any]],
        quotas_of: Callable[[str], Mapping[str, int]],
        stored: Callable[[list[Result], int], None],
        not_stored: Callable[[Result], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tag = tag
        self._step = step
        self._quotas_of = quotas_of
        self._stored = stored
        self._not_stored = not_stored
        self._clock = clock
        self._waiting: deque[Result] = deque()
        self._not_empty = Flag()
        self._empty = Flag()
        self._empty.set()

    def add(self, webhook: Webhook, attempt: Attempt, outcome: Outcome, seconds: float) -> None:
        """`seconds`: how long the attempt took."""
        self._add(Result(webhook, outcome, self._row(webhook, attempt, outcome, seconds)))
        _attempts(outcome.state).inc()
        if attempt.was_made:
            metrics.LATENCY.observe(seconds)
        if outcome.state == DeliveryState.DELIVERED:
            metrics.LAG.observe(max(0.0, self._clock() - webhook.at / 1000))

    def add_malformed(self, entry: str) -> None:
        """An entry of the outbox is no webhook."""
        line = {"webhook": entry, "error": "malformed"}
        skipped = Outcome(DeliveryState.SKIPPED)
        row = {"id": entry, "app": "", "n": 1, "step": skipped.state, "delay": 0, "type": "unknown", "log": line}
        self._add(Result(None, skipped, row))

    def run(self) -> None:
        """Stores what comes. Raises Fenced."""
        size = BATCH
        while True:
            self._not_empty.wait()
            batch = list(islice(self._waiting, size))
            try:
                failing = {result.row["app"] for result in batch if result.outcome.state == DeliveryState.FAILED}
                quotas = {app_id: self._quotas_of(app_id)["failed_bytes"] for app_id in failing}
                rows = [result.row for result in batch]
                reply = self._step("delivery_settle", results=rows, failed_bytes=quotas)
            except StoreUnavailable as error:
                log.warning("results of webhooks not stored yet", partition=self._tag, error=str(error))
                gevent.sleep(STORE_RETRY_SECONDS)
                continue
            except ScriptFailed as error:
                if len(batch) > 1:
                    size = 1  # to find the one that fails
                    continue
                log.error("result of a webhook not stored", partition=self._tag, error=str(error))
                self._remove(batch)
                self._not_stored(batch[0])
            else:
                self._remove(batch)
                self._stored(batch, reply["endpoints"])
            size = BATCH

    def join(self) -> None:
        """Waits until all are stored."""
        self._empty.wait()

    def _add(self, result: Result) -> None:
        self._waiting.append(result)
        self._empty.clear()
        self._not_empty.set()

    def _remove(self, batch: list[Result]) -> None:
        for _ in batch:
            self._waiting.popleft()
        if not self._waiting:
            self._not_empty.clear()
            self._empty.set()

    def _row(self, webhook: Webhook, attempt: Attempt, outcome: Outcome, seconds: float) -> dict[str, Any]:
        number, latency = webhook.attempts + attempt.was_made, round(seconds * 1000)
        line: dict[str, Any] = {
            "app": webhook.app_id,
            "room" if is_room_id(webhook.ordering_key) else "session": webhook.ordering_key,
            "webhook": webhook_id(self._tag, webhook.entry),
            "outcome": outcome.state,
            **({"trace": webhook.trace} if webhook.trace else {}),
        }
        row: dict[str, Any] = {
            "id": webhook.entry,
            "app": webhook.app_id,
            "type": webhook.type,
            "n": number,
            "step": outcome.state,
            "delay": round(outcome.delay * 1000),
            "log": line,
        }
        if attempt.was_made:
            line |= {"attempt": number, "latency_ms": latency}
            record: dict[str, Any] = {"at": round(self._clock() * 1000), "latency_ms": latency}
            if attempt.status is not None:
                line["status"] = record["status"] = attempt.status
                record["answer"] = attempt.body.decode("utf-8", "replace")
            if attempt.error:
                record["error"] = attempt.error
            row["attempt"] = orjson.dumps(record).decode()
            if attempt.mark:
                row["mark"] = attempt.mark
            if outcome.state != DeliveryState.DELIVERED:
                row["fault"] = attempt.error or f"it answered {attempt.status}"
            if attempt.demand.disable:
                row["disable"] = attempt.demand.disable
        if error := attempt.error or attempt.skipped or attempt.withheld:
            line["error"] = error
        return row
