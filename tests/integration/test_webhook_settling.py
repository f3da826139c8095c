"""The script that stores what became of webhooks: a batch that is sent twice, for want of a reply, counts once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.errors import Fenced, ScriptFailed
from controller.store import keys
from controller.store.states import LISTED_STATUSES
from tests.integration.webhook_fixtures import WEBHOOK_BYTES, Outbox
from tests.open_store import OpenStore

APP = "demo"
TAG = keys.partition_of(APP)
ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440001"
KEPT = {APP: 1 << 20}
STEPS = ("delivered", "held", "aside", "failed", "skipped", "withheld")


def everything(store: OpenStore) -> dict[str, Any]:
    """All that the partition holds, but for times: they are those of the call."""
    read = {
        "string": store.client.get,
        "hash": store.client.hgetall,
        "zset": lambda key: list(store.client.zrange(key, 0, -1)),
        "stream": store.client.xrange,
        "list": lambda key: store.client.lrange(key, 0, -1),
        "set": store.client.smembers,
    }
    found = {key.decode(): read[store.client.type(key).decode()](key) for key in store.client.keys(f"{TAG}:*")}
    for fields in found.values():
        if isinstance(fields, dict):
            for name in (b"next", b"until", b"failing_since", b"disabled_at"):
                fields.pop(name, None)
    held = found.get(keys.key(TAG, "held"))
    if held:
        found[keys.key(TAG, "held")] = {entry: value.split()[0] for entry, value in held.items()}
    return found


def lease(store: OpenStore) -> int:
    args = {"owner": "d1", "token": 0, "ttl": 60_000, "number": keys.TAGS.index(TAG)}
    return int(store.run("delivery_lease", TAG, args)["token"])


def result(entry: str, step: str, attempts: int) -> dict[str, Any]:
    """What a dispatcher says of a webhook that was attempted so many times before."""
    tried = step not in ("skipped", "withheld")
    row: dict[str, Any] = {"id": entry, "app": APP, "type": "conference.created", "n": attempts + tried, "log": {}}
    row |= {"step": "failed" if step == "withheld" else step, "delay": 1000 if step in ("held", "aside") else 0}
    if tried:
        row |= {"attempt": orjson.dumps({"at": 1, "latency_ms": 1, "status": 500}).decode(), "mark": "m"}
        row |= {} if step == "delivered" else {"fault": "it answered 500"}
    return row


# Of a webhook in turn: what may follow what. What has stepped aside is never held again.
histories = st.lists(st.sampled_from(STEPS[:3]), max_size=4).map(
    lambda steps: [
        "aside" if step == "held" and "aside" in steps[:place] else step
        for place, step in enumerate(steps[: steps.index("delivered")] if "delivered" in steps else steps)
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=st.lists(st.tuples(histories, st.sampled_from(STEPS)), min_size=1, max_size=4))
def test_a_batch_that_is_stored_twice_counts_once(store: OpenStore, histories: list[tuple[list[str], str]]) -> None:
    store.client.flushall()
    outbox = Outbox(store)
    token = lease(store)
    entries = [webhook.partition("-")[2] for webhook in outbox.put(APP, *[ROOM] * len(histories))]

    def settle(batch: list[dict[str, Any]]) -> None:
        for row in batch:
            row["log"] = {"app": APP, "webhook": row["id"]}
        store.run("delivery_settle", TAG, {"token": token, "results": batch, "failed_bytes": KEPT})

    for turn in range(5):
        batch = []
        for entry, (before, last) in zip(entries, histories, strict=True):
            if turn < len(before):
                batch.append(result(entry, before[turn], turn))
            elif turn == len(before):
                step = "aside" if last == "held" and "aside" in before else last
                batch.append(result(entry, step, turn))
        settle(batch)
        once = everything(store)
        settle(batch)
        assert everything(store) == once

    for entry, (before, last) in zip(entries, histories, strict=True):
        record = outbox.record(f"msg_{TAG.strip('{}')}-{entry}")
        waiting = store.client.xrange(keys.key(TAG, "outbox"), entry, entry)
        listed = {
            status
            for status in LISTED_STATUSES
            if store.client.zscore(keys.key(TAG, "deliveries", APP, status), entry) is not None
        }
        final = "aside" if last == "held" and "aside" in before else last
        # In the outbox, or with its data in its record, and in the one list of its status: never lost, never twice.
        assert bool(waiting) == (final == "held")
        if final == "skipped":
            assert (record, listed) == ({}, set())
            continue
        assert ("data" in record) == (not waiting)
        expected = {"withheld": "failed"}.get(final, final)
        assert record["status"] == expected
        assert listed == {"retrying" if expected in ("held", "aside") else expected}
        in_aside = store.client.zscore(keys.key(TAG, "aside", APP), entry) is not None
        assert in_aside == (expected == "aside")
        assert store.client.hexists(keys.key(TAG, "held"), entry) == (expected == "held")
    assert used(store) == sizes(store)


def used(store: OpenStore) -> dict[str, int]:
    """What is counted of the app."""
    usage = store.client.hgetall(keys.key(TAG, "usage", APP))
    return {name.decode(): int(value) for name, value in usage.items() if int(value)}


def sizes(store: OpenStore) -> dict[str, int]:
    """The same, measured: bytes of webhooks that are undelivered, delivered and failed."""
    found = Counter[str]()
    for _, fields in store.client.xrange(keys.key(TAG, "outbox")):
        found["webhook_bytes"] += len(fields[b"data"]) + WEBHOOK_BYTES
    for key in store.client.keys(f"{TAG}:delivery:*"):
        record = store.client.hgetall(key)
        if b"data" in record:
            status = record[b"status"].decode()
            undelivered = status == "aside"
            found["webhook_bytes" if undelivered else f"{status}_bytes"] += len(record[b"data"])
            found["webhook_bytes"] += WEBHOOK_BYTES if undelivered else 0
    return {name: size for name, size in found.items() if size}


@pytest.mark.parametrize("step", ["delivered", "failed"])
def test_the_oldest_go_when_there_is_too_much(store: OpenStore, step: str) -> None:
    outbox = Outbox(store)
    token = lease(store)
    webhooks = outbox.put(APP, *[ROOM] * 30, name="x" * 300_000)
    for webhook in webhooks:
        batch = [{**result(webhook.partition("-")[2], step, 0), "log": {}}]
        store.run("delivery_settle", TAG, {"token": token, "results": batch, "failed_bytes": {APP: 4 << 20}})
    kept = [webhook for webhook in webhooks if outbox.record(webhook)]
    assert kept == webhooks[-13:]
    assert used(store) == sizes(store)
    listed = store.client.zrange(keys.key(TAG, "deliveries", APP, step), 0, -1)
    assert [f"msg_{TAG.strip('{}')}-{entry.decode()}" for entry in listed] == kept


def test_a_list_that_has_lapsed_is_counted_no_more(store: OpenStore) -> None:
    outbox = Outbox(store)
    token = lease(store)

    def deliver(count: int) -> list[str]:
        webhooks = outbox.put(APP, *[ROOM] * count)
        batch = [{**result(webhook.partition("-")[2], "delivered", 0), "log": {}} for webhook in webhooks]
        store.run("delivery_settle", TAG, {"token": token, "results": batch, "failed_bytes": KEPT})
        return webhooks

    deliver(5)
    store.client.hset(keys.key(TAG, "usage", APP), "delivered_bytes", 4 << 20)
    lapsed = [key for key in store.client.scan_iter() if store.client.ttl(key) > 0]
    store.client.delete(*lapsed)
    later = deliver(5)
    assert [webhook for webhook in later if outbox.record(webhook)] == later
    assert used(store) == sizes(store)


def test_another_s_lease_stores_nothing(store: OpenStore) -> None:
    outbox = Outbox(store)
    token = lease(store)
    (webhook,) = outbox.put(APP, ROOM)
    batch = [result(webhook.partition("-")[2], "delivered", 0)]
    before = everything(store)
    with pytest.raises(Fenced):
        store.run("delivery_settle", TAG, {"token": token + 1, "results": batch, "failed_bytes": KEPT})
    assert everything(store) == before


@pytest.mark.parametrize("step", ["delivered", "failed"])
def test_a_late_result_does_not_undo_a_redelivery(store: OpenStore, step: str) -> None:
    outbox = Outbox(store)
    token = lease(store)
    (webhook,) = outbox.put(APP, ROOM)
    batch = [result(webhook.partition("-")[2], step, 0)]
    store.run("delivery_settle", TAG, {"token": token, "results": batch, "failed_bytes": KEPT})
    args = {"app_id": APP, "command": "webhook.redeliver", "entry": batch[0]["id"], "webhook_id": webhook}
    assert store.run("redeliver", TAG, {**args, "has_url": True, "mark": "m"})["status"] == "retrying"
    # Until it is settled again, the record is all there is of it.
    assert store.client.ttl(keys.key(TAG, "delivery", batch[0]["id"])) == -1
    once = everything(store)
    store.run("delivery_settle", TAG, {"token": token, "results": batch, "failed_bytes": KEPT})
    assert everything(store) == once
    assert outbox.record(webhook)["status"] == "aside"


@pytest.mark.parametrize("step", ["delivered", "aside"])
def test_what_has_no_record_leaves_the_retry_queue(store: OpenStore, step: str) -> None:
    token, entry = lease(store), "1-0"
    store.client.zadd(keys.key(TAG, "aside", APP), {entry: 0})
    store.client.zadd(keys.key(TAG, "asides"), {APP: 0})
    batch = [{**result(entry, step, 0), "log": {}}]
    store.run("delivery_settle", TAG, {"token": token, "results": batch, "failed_bytes": KEPT})
    assert not store.client.exists(keys.key(TAG, "aside", APP), keys.key(TAG, "asides"))


@pytest.mark.parametrize("spoiled", ["delivery", "deliveries"])
def test_what_cannot_be_stored_spoils_nothing_else(store: OpenStore, spoiled: str) -> None:
    """A record that is garbage, or another app's list of them."""
    token, outbox, other = lease(store), Outbox(store), next(app for app in map(str, range(999)) if is_beside(app))
    webhooks = [outbox.put(app, ROOM)[0] for app in (APP, other, APP)]
    batch = [result(webhook.partition("-")[2], "delivered", 0) for webhook in webhooks]
    batch[1]["app"] = other
    broken = ("delivery", batch[1]["id"]) if spoiled == "delivery" else ("deliveries", other, "delivered")
    store.client.set(keys.key(TAG, *broken), "garbage")
    with pytest.raises(ScriptFailed, match="delivery_settle"):
        store.run("delivery_settle", TAG, {"token": token, "results": batch, "failed_bytes": KEPT})
    store.client.delete(keys.key(TAG, *broken))
    listed = store.client.zrange(keys.key(TAG, "deliveries", APP, "delivered"), 0, -1)
    assert listed == [batch[0]["id"].encode(), batch[2]["id"].encode()]
    assert all(store.client.ttl(keys.key(TAG, "delivery", entry.decode())) > 0 for entry in listed)
    store.client.delete(keys.key(TAG, "delivery", batch[1]["id"]))
    assert used(store) == {name: size for name, size in sizes(store).items() if name == "delivered_bytes"}


def is_beside(app: str) -> bool:
    return keys.partition_of(app) == TAG
