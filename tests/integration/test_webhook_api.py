"""What the API does about webhooks, with the real store, a dispatcher, and an endpoint."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import orjson
import pytest

from controller import commands
from controller.controller import Controller
from controller.errors import Refused
from controller.limits import COOLDOWNS, Limits
from controller.registry import new_app
from controller.rooms.placement import Placement
from controller.store import keys
from controller.webhooks.retry import Schedule
from tests import webhook_data
from tests.integration import webhook_fixtures as fixtures
from tests.integration.webhook_fixtures import ERROR, OK, SECRET, Outbox, Receiver, Start

ROOM = "acW68-room-550e8400-e29b-41d4-a716-44665544000%d"
SESSION = "acW68-7f3d2c1b-0a9e-4d8c-b7f6-5e4d3c2b1a09"
APP = "demo"
ONCE = Schedule(delays=())
LATER = Schedule(delays=(600.0,) * 6)
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
DAY = 86_400_000
# A cooldown that outlasts every test.
LIMITS = Limits(requests_per_second=10_000, cooldowns={**COOLDOWNS, "webhook_test": 600_000})


class WebhookApi:
    """The API's side of one app."""

    def __init__(self, outbox: Outbox, app_id: str = APP, **options: Any) -> None:
        self.app_id = app_id
        nodes = Placement(outbox.store, outbox.registry)
        options = {"allow_private_webhooks": True, **options}
        self.controller = Controller(outbox.store, outbox.registry, nodes, LIMITS, **options)

    def ask(self, kind: type[commands.Command], **fields: Any) -> dict[str, Any]:
        return self.controller.execute(kind(app_id=self.app_id, **fields))

    def refused(self, kind: type[commands.Command], **fields: Any) -> str:
        with pytest.raises(Refused) as refusal:
            self.ask(kind, **fields)
        return refusal.value.code

    def put(self, url: str, *types: str) -> dict[str, Any]:
        return self.ask(commands.SetEndpoint, url=url, types=types or ("*",))

    def endpoint(self) -> dict[str, Any]:
        return self.ask(commands.GetEndpoint)

    def deliveries(self, limit: int = 50, **narrowing: Any) -> list[dict[str, Any]]:
        """All of them, page by page."""
        rows, after = [], 0
        while True:
            page = self.ask(commands.ListDeliveries, limit=limit, after=after, **narrowing)
            assert len(page["rows"]) <= limit
            rows += page["rows"]
            if not (after := page["cursor"]):
                return rows

    def ids(self, **narrowing: Any) -> list[str]:
        return [row["webhook_id"] for row in self.deliveries(**narrowing)]

    def delivery(self, webhook_id: str) -> dict[str, Any]:
        return self.ask(commands.GetDelivery, webhook_id=webhook_id)


@pytest.fixture
def api(outbox: Outbox) -> WebhookApi:
    return WebhookApi(outbox)


# The endpoint


def test_the_endpoint_is_the_configured_one_until_the_api_sets_another(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, "http://configured.example/")
    assert api.endpoint() == {
        "url": "http://configured.example/",
        "types": ["*"],
        "status": "active",
        "since": None,
        "reason": "",
        "old_secret_until": None,
    }
    start()
    answer = api.put(receiver.url, "conference.play.*", "session.ended")
    assert answer == api.endpoint()
    assert (answer["url"], answer["types"]) == (receiver.url, ["conference.play.*", "session.ended"])
    wanted = [
        *outbox.put(APP, ROOM % 1, type_="conference.play.started"),
        *outbox.put(APP, SESSION, type_="session.ended"),
    ]
    for unwanted in ("conference.created", "session.started", "conference.playing"):
        outbox.put(APP, ROOM % 1, type_=unwanted)
    outbox.wait_until(lambda: not outbox.left(APP))
    assert sorted(receiver.ids()) == sorted(wanted)
    dropped = [line["error"] for line in outbox.log(APP) if line["outcome"] == "skipped"]
    assert dropped == ["the app does not want this type"] * 3
    # A start with the same file changes nothing, one with another URL does.
    outbox.app(APP, "http://configured.example/")
    assert api.endpoint()["url"] == receiver.url
    outbox.app(APP, "http://changed.example/")
    assert (api.endpoint()["url"], api.endpoint()["types"]) == ("http://changed.example/", ["*"])


def test_a_change_reaches_a_dispatcher_that_knows_the_endpoint_already(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    other = Receiver()
    try:
        outbox.app(APP, other.url)
        dispatcher = start()
        outbox.put(APP, ROOM % 1)
        other.wait(1)
        endpoints = dispatcher.partition(keys.partition_of(APP)).endpoints
        known = endpoints.version
        api.put(receiver.url)
        outbox.wait_until(lambda: endpoints.version != known)
        (webhook,) = outbox.put(APP, ROOM % 1)
        assert receiver.wait(1)[0].id == webhook
        assert len(other.received) == 1
    finally:
        other.stop()


def test_an_app_that_comes_back_has_nothing_of_the_one_before(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, "")
    api.put(receiver.url)
    start()
    (webhook,) = outbox.put(APP, ROOM % 1)
    outbox.wait_until(lambda: api.ids() == [webhook])
    outbox.registry.remove_app(APP)
    outbox.app(APP, "")
    assert api.ids() == []
    assert (api.endpoint()["url"], api.endpoint()["status"]) == ("", "unset")
    filed = replace(new_app(APP, "key"), source="file")
    outbox.registry.sync_file([filed], [])
    api.put(receiver.url)
    outbox.registry.sync_file([], [])
    outbox.registry.sync_file([filed], [])
    assert api.endpoint()["status"] == "unset"


@pytest.mark.parametrize("url", ["http://127.1/", "http://[::1]:8080/", "http://localhost/", "http://0x7f000001/"])
def test_a_private_endpoint_is_refused_unless_allowed(outbox: Outbox, url: str) -> None:
    outbox.app(APP, "http://configured.example/")
    strict = WebhookApi(outbox, allow_private_webhooks=False)
    assert strict.refused(commands.SetEndpoint, url=url, types=("*",)) == "url_refused"
    assert strict.endpoint()["url"] == "http://configured.example/"
    assert strict.put("https://93.184.216.34/hooks")["url"] == "https://93.184.216.34/hooks"
    assert WebhookApi(outbox).put(url)["url"] == url


def test_a_rotated_secret_signs_beside_the_old_one_for_a_day(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, receiver.url)
    before = int(time.time() * 1000)
    first = api.ask(commands.RotateSecret)
    assert before <= first["old_secret_until"] - DAY <= time.time() * 1000
    assert api.endpoint()["old_secret_until"] == first["old_secret_until"]
    start("d1")
    outbox.put(APP, ROOM % 1)
    request = receiver.wait(1)[0]
    for secret in (SECRET, first["secret"]):
        request.verify(secret)
    second = api.ask(commands.RotateSecret)
    assert len({SECRET, first["secret"], second["secret"]}) == 3
    api.ask(commands.SendTest)
    for secret in (first["secret"], second["secret"]):
        receiver.received[1].verify(secret)
    with pytest.raises(Exception, match="No matching signature"):
        receiver.received[1].verify(SECRET)


def test_the_old_secret_signs_no_more_after_a_day(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, receiver.url)
    rotated = api.ask(commands.RotateSecret)
    key = keys.key(keys.partition_of(APP), "endpoint", APP)
    outbox.store.client.hset(key, "old_until", int(time.time() * 1000) - 1)
    assert api.endpoint()["old_secret_until"] is None
    start()
    outbox.put(APP, ROOM % 1)
    request = receiver.wait(1)[0]
    assert len(request.headers["webhook-signature"].split()) == 1
    request.verify(rotated["secret"])


def test_a_secret_that_the_file_changes_replaces_the_rotated_one(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, receiver.url)
    api.ask(commands.RotateSecret)
    changed = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    outbox.app(APP, receiver.url, secret=changed)
    start()
    outbox.put(APP, ROOM % 1)
    request = receiver.wait(1)[0]
    request.verify(changed)
    assert len(request.headers["webhook-signature"].split()) == 1


def test_an_app_without_a_secret_gets_one(outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start) -> None:
    outbox.registry.put_app(new_app(APP, "key", webhook_url=receiver.url))
    app = outbox.registry.app(APP)
    assert app
    start()
    outbox.put(APP, ROOM % 1)
    receiver.wait(1)[0].verify(app.webhook_secret)


def test_a_test_is_sent_at_once_and_tells_what_came_of_it(outbox: Outbox, api: WebhookApi, receiver: Receiver) -> None:
    outbox.app(APP, receiver.url)
    receiver.responses.append(b"HTTP/1.1 418 Teapot\r\nContent-Length: 2000\r\n\r\n" + b"\xff\x1b" + b"x" * 1998)
    outcome = api.ask(commands.SendTest)
    assert (outcome["delivered"], outcome["status"], outcome["error"]) == (False, 418, None)
    assert outcome["answer"] == "\ufffd\x1b" + "x" * 1022
    (request,) = receiver.received
    request.verify()
    assert request.id == outcome["webhook_id"]
    assert orjson.loads(request.body)["type"] == "webhook.test"
    webhook_data.check("webhook.test", request.data)
    assert request.data["app_id"] == APP
    assert api.refused(commands.SendTest) == "rate_limited"
    assert api.refused(commands.GetDelivery, webhook_id=outcome["webhook_id"]) == "webhook_not_found"


def test_a_test_of_what_does_not_respond(outbox: Outbox) -> None:
    outbox.app(APP, "http://127.0.0.1:1/")
    outcome = WebhookApi(outbox).ask(commands.SendTest)
    assert (outcome["delivered"], outcome["status"], outcome["error"]) == (False, None, "the connection was refused")
    outbox.app("private", "http://127.0.0.1:1/")
    outcome = WebhookApi(outbox, "private", allow_private_webhooks=False).ask(commands.SendTest)
    assert outcome["error"] == "blocked: it leads to an address that is not public"
    outbox.app("unset", "")
    assert WebhookApi(outbox, "unset").refused(commands.SendTest) == "no_endpoint"


# What an endpoint's responses do


def test_410_disables_and_what_follows_is_kept_until_it_is_sent_again(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, receiver.url)
    receiver.responses.append(GONE)
    start()
    before = time.time() * 1000
    webhooks = outbox.put(APP, ROOM % 1, ROOM % 1, ROOM % 1)
    outbox.wait_until(lambda: not outbox.left(APP))
    endpoint = api.endpoint()
    assert (endpoint["status"], endpoint["reason"]) == ("disabled", "it answered 410 Gone")
    assert before <= endpoint["since"] <= time.time() * 1000
    assert receiver.ids() == webhooks[:1]
    assert api.ids(status="failed") == webhooks[::-1]
    assert [len(api.delivery(webhook)["tried"]) for webhook in webhooks] == [1, 0, 0]
    reasons = [line.get("error") for line in outbox.log(APP)]
    assert reasons == [None, *["the endpoint is disabled: it answered 410 Gone"] * 2]
    assert api.refused(commands.Redeliver, webhook_id=webhooks[0]) == "endpoint_disabled"
    assert api.refused(commands.RedeliverRange, since=0, till=2**41) == "endpoint_disabled"

    assert api.put(receiver.url)["status"] == "active"
    assert api.ask(commands.RedeliverRange, since=0, till=2**41) == {"webhooks": 3}
    receiver.wait(4)
    outbox.wait_until(lambda: len(api.ids(status="delivered")) == 3)
    assert sorted(receiver.ids()[1:]) == sorted(webhooks)
    # Attempts are counted on, and what was received says the same as at first.
    assert [attempt["number"] for attempt in api.delivery(webhooks[0])["tried"]] == [1, 2]
    assert len({request.body for request in receiver.received if request.id == webhooks[0]}) == 1


def health(outbox: Outbox, **fields: Any) -> dict[str, str]:
    key = keys.key(keys.partition_of(APP), "endpoint", APP)
    if fields:
        outbox.store.client.hset(key, mapping=fields)
    return {name.decode(): value.decode() for name, value in outbox.store.client.hgetall(key).items()}


def test_an_endpoint_that_fails_for_five_days_is_disabled(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, receiver.url)
    receiver.default = ERROR
    start(schedule=LATER)
    outbox.put(APP, ROOM % 1)
    outbox.wait_until(lambda: health(outbox))
    assert api.endpoint()["status"] == "failing"
    now = int(time.time() * 1000)
    health(outbox, failing_since=now - 5 * DAY + 60_000)
    outbox.put(APP, ROOM % 2)
    outbox.wait_until(lambda: len(outbox.log(APP)) == 2)
    endpoint = api.endpoint()
    assert (endpoint["status"], endpoint["reason"]) == ("failing", "it answered 500")
    assert endpoint["since"] == now - 5 * DAY + 60_000
    health(outbox, failing_since=now - 5 * DAY)
    outbox.put(APP, ROOM % 3)
    outbox.wait_until(lambda: api.endpoint()["status"] == "disabled")
    assert api.endpoint()["reason"] == "it has failed for 5 days"


def test_one_success_ends_the_failing(outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start) -> None:
    outbox.app(APP, receiver.url)
    receiver.responses.append(ERROR)
    start(schedule=LATER)
    outbox.put(APP, ROOM % 1)
    outbox.wait_until(lambda: health(outbox))
    health(outbox, failing_since=1)
    outbox.put(APP, ROOM % 2)
    outbox.wait_until(lambda: len(outbox.log(APP)) == 2)
    assert (api.endpoint()["status"], api.endpoint()["since"]) == ("active", None)


def test_what_is_said_of_one_url_is_not_said_of_the_next(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, receiver.url)
    receiver.responses.append(GONE)
    start()
    outbox.put(APP, ROOM % 1)
    outbox.wait_until(lambda: api.endpoint()["status"] == "disabled")
    outbox.app(APP, f"{receiver.url}/new")  # the file's value changes
    assert api.endpoint()["status"] == "active"
    (webhook,) = outbox.put(APP, ROOM % 1)
    receiver.wait_until(lambda: webhook in receiver.ids())


@pytest.mark.parametrize("status", ["429 Too Many", "503 Busy"])
def test_retry_after_is_obeyed_by_the_whole_endpoint(
    outbox: Outbox, receiver: Receiver, start: Start, status: str
) -> None:
    app = outbox.app(fixtures.app_of_partition(3), receiver.url)
    other = outbox.app(fixtures.app_of_partition(3, skip=[app]), receiver.url)
    receiver.responses.append(f"HTTP/1.1 {status}\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n".encode())
    start()
    first, second = outbox.put(app, ROOM % 1, ROOM % 1)
    outbox.wait_until(lambda: outbox.log(app))
    (line,) = outbox.log(app)
    assert line["outcome"] == "held"
    assert line["next_at"] - line["at"] == 3000
    (third,) = outbox.put(app, ROOM % 2)
    (others,) = outbox.put(other, ROOM % 1)
    receiver.wait(5)
    ids = receiver.ids()
    assert ids[:2] == [first, others]  # not held up by a neighbour's pause
    assert sorted(ids[2:]) == sorted([first, second, third])
    assert ids[2:].index(first) < ids[2:].index(second)
    assert receiver.received[2].at - receiver.received[0].at >= 2.95


# Deliveries


def test_deliveries_are_listed_narrowed_and_shown(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, receiver.url)
    poisoned = outbox.put(APP, ROOM % 1, ROOM % 2)
    receiver.choose = lambda request: ERROR if request.id in poisoned else OK
    middle = int(time.time() * 1000) + 2
    while time.time() * 1000 <= middle:
        pass
    fine = [*outbox.put(APP, *[ROOM % (i % 3) for i in range(7)]), *outbox.put(APP, SESSION, type_="session.ended")]
    dispatcher = start(schedule=ONCE)
    outbox.wait_until(lambda: not outbox.left(APP))
    dispatcher.stop()
    everything = [*poisoned, *fine][::-1]
    for limit in (1, 3, 10, 50):
        assert api.ids(limit=limit) == everything
    assert api.ids(status="failed") == poisoned[::-1]
    assert api.ids(status="delivered", limit=2) == fine[::-1]
    assert api.ids(status="retrying") == []
    assert api.ids(type="session.ended") == fine[-1:]
    assert api.ids(type="conference.created") == []
    assert api.ids(room=ROOM % 2, limit=1) == [fine[5], fine[2], poisoned[1]]
    assert api.ids(since=middle, limit=3) == fine[::-1]
    assert api.ids(till=middle, limit=1) == poisoned[::-1]
    assert api.ids(since=middle, till=middle) == []

    row = api.deliveries(status="failed")[0]
    found = api.delivery(poisoned[1])
    assert row.items() <= found.items()
    assert (row["type"], row["room_id"], row["status"], row["attempts"], row["next"]) == (
        "conference.member.joined",
        ROOM % 2,
        "failed",
        1,
        None,
    )
    assert found["data"]["sequence"] == 2
    (tried,) = found["tried"]
    assert (tried["number"], tried["status"], tried["error"], tried["answer"]) == (1, 500, None, "oops")
    (tried,) = api.delivery(fine[0])["tried"]
    assert (tried["status"], tried["answer"]) == (200, "ok")


def test_what_waits_is_shown_as_pending_or_retrying(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, receiver.url)
    held, behind = outbox.put(APP, ROOM % 1, ROOM % 1)
    assert api.delivery(held)["status"] == "pending"
    assert api.ids() == []
    receiver.default = ERROR
    start(schedule=LATER)
    outbox.wait_until(lambda: outbox.log(APP))
    (row,) = api.deliveries(room=ROOM % 1)
    assert (row["webhook_id"], row["status"], row["room_id"]) == (held, "retrying", ROOM % 1)
    assert row["next"] > time.time() * 1000 + 500_000
    assert api.delivery(behind)["status"] == "pending"
    for webhook in (held, behind):
        assert api.refused(commands.Redeliver, webhook_id=webhook) == "webhook_pending"


def test_another_app_s_webhooks_are_nobody_s(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    mine = fixtures.app_of_partition(3)
    theirs = fixtures.app_of_partition(3, skip=[mine])
    elsewhere = fixtures.app_of_partition(4)
    for app in (mine, theirs, elsewhere):
        outbox.app(app, receiver.url)
    dispatcher = start(schedule=ONCE)
    (delivered,) = outbox.put(mine, ROOM % 1)
    outbox.wait_until(lambda: not outbox.left(mine))
    dispatcher.stop()
    (pending,) = outbox.put(mine, ROOM % 1)
    for app in (theirs, elsewhere):
        api = WebhookApi(outbox, app)
        assert api.ids() == []
        for webhook in (delivered, pending, "msg_p03-1-0", "msg_p99-1-0", "nonsense"):
            for kind in (commands.GetDelivery, commands.Redeliver):
                assert api.refused(kind, webhook_id=webhook) == "webhook_not_found"
        assert api.ask(commands.RedeliverRange, since=0, till=2**41) == {"webhooks": 0}
    assert WebhookApi(outbox, mine).delivery(delivered)["status"] == "delivered"
    # Its own entry under another partition's name is no webhook either.
    assert WebhookApi(outbox, mine).refused(commands.GetDelivery, webhook_id=delivered.replace("p03", "p04")) == (
        "webhook_not_found"
    )


def test_redelivery_begins_a_new_series_of_attempts(
    outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start
) -> None:
    outbox.app(APP, receiver.url)
    receiver.default = ERROR
    start()
    (webhook,) = outbox.put(APP, ROOM % 1)
    for series in (1, 2, 3):
        receiver.wait(7 * series)
        outbox.wait_until(lambda: api.ids(status="failed") == [webhook])
        assert api.ask(commands.Redeliver, webhook_id=webhook) == {"webhook_id": webhook, "status": "retrying"}
        assert api.ids() == api.ids(status="retrying") == [webhook]
    receiver.default = OK
    outbox.wait_until(lambda: api.ids(status="delivered") == [webhook])
    found = api.delivery(webhook)
    assert found["attempts"] >= 22
    # The last twenty of them are kept.
    assert [tried["number"] for tried in found["tried"]] == list(range(found["attempts"] - 19, found["attempts"] + 1))
    # What was delivered can be sent again too.
    count = len(receiver.received)
    api.ask(commands.Redeliver, webhook_id=webhook)
    receiver.wait(count + 1)
    assert set(receiver.ids()) == {webhook}


def test_a_range_is_sent_again_bit_by_bit(outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start) -> None:
    outbox.app(APP, receiver.url)
    receiver.default = ERROR
    first = start("d1", schedule=ONCE)
    webhooks = [webhook for i in range(5) for webhook in outbox.put(APP, *[f"{ROOM % 1}-{i}-{j}" for j in range(90)])]
    outbox.wait_until(lambda: len(outbox.log(APP)) == 450)
    first.stop()
    receiver.default = OK
    oldest, newest = (int(webhook.split("-")[1]) for webhook in (webhooks[0], webhooks[-1]))
    assert api.ask(commands.RedeliverRange, since=newest + 1, till=newest + 2) == {"webhooks": 0}
    assert api.ask(commands.RedeliverRange, since=oldest, till=newest + 1) == {"webhooks": 450}
    assert api.refused(commands.RedeliverRange, since=0, till=1) == "redelivery_under_way"
    start("d2", schedule=ONCE)
    outbox.wait_until(lambda: len(api.ids(status="delivered", limit=200)) == 450)
    assert sorted(set(receiver.ids())) == sorted(set(webhooks))
    assert len(receiver.received) == 900
    assert api.ids(status="failed") == []
    assert api.ask(commands.RedeliverRange, since=0, till=2**41) == {"webhooks": 0}


def test_what_is_kept_is_bounded(outbox: Outbox, api: WebhookApi, receiver: Receiver, start: Start) -> None:
    outbox.app(APP, receiver.url)
    start()
    webhooks = outbox.put(APP, *[ROOM % (i % 9) for i in range(1100)])
    outbox.wait_until(lambda: not outbox.left(APP))
    assert api.ids(limit=200) == webhooks[100:][::-1]
    assert not any(outbox.record(webhook) for webhook in webhooks[:100])
    tag, entry = keys.partition_of(APP), webhooks[-1].partition("-")[2]
    for name in (keys.key(tag, "delivery", entry), keys.key(tag, "deliveries", APP, "delivered")):
        assert 2 * 86_400 < outbox.store.client.ttl(name) <= 3 * 86_400
