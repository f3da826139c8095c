"""One attempt, without a store."""

from __future__ import annotations

import orjson
import pytest

from controller.ids import webhook_id
from controller.outbound.network import Network
from controller.registry import new_app
from controller.signing import fingerprint
from controller.store import keys
from controller.webhooks.endpoint import Endpoint
from controller.webhooks.message import Webhook
from controller.webhooks.retry import Attempt, Demand
from controller.webhooks.sender import Sender
from tests.integration import webhook_fixtures as fixtures
from tests.integration.webhook_fixtures import SECRET, Receiver

NOW = 1_795_374_236.5
WEBHOOK = Webhook("1795374235886-0", "demo", "conference.created", "r", 1795374235886, b'{"sequence":1}')
BUSY = b"HTTP/1.1 429 Later\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def sender() -> Sender:
    return Sender("demo", Network(allow_private=True), timeout=30, clock=lambda: NOW)


def endpoint(url: str, secret: str = SECRET, /, **record: str) -> Endpoint:
    return Endpoint(new_app("demo", "key", webhook_url=url, webhook_secret=secret), record)


def test_a_webhook_is_signed_and_posted(receiver: Receiver, sender: Sender) -> None:
    to = endpoint(receiver.url)
    assert sender.send(WEBHOOK, to) == Attempt(200, b"ok", mark=to.mark)
    (request,) = receiver.received
    assert request.id == webhook_id(keys.partition_of("demo"), WEBHOOK.entry)
    assert request.body == WEBHOOK.body
    assert request.headers["webhook-timestamp"] == str(int(NOW))
    assert sender.send(WEBHOOK, to).is_success
    assert receiver.connections == 1


def test_a_large_webhook_is_sent_whole(receiver: Receiver, sender: Sender) -> None:
    data = orjson.dumps({"name": "x" * 8_000_000})
    large = Webhook("1-0", "demo", "conference.created", "r", 1795374235886, data)
    assert sender.send(large, endpoint(receiver.url)).is_success
    (request,) = receiver.received
    assert request.body == large.body


def test_a_new_secret_or_url_counts_at_once(receiver: Receiver, sender: Sender) -> None:
    other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    for secret, path in ((SECRET, ""), (other, ""), (other, "/elsewhere")):
        sender.send(WEBHOOK, endpoint(receiver.url + path, secret))
    signatures = [request.headers["webhook-signature"] for request in receiver.received]
    assert signatures[0] != signatures[1] == signatures[2]
    assert [request.path for request in receiver.received] == ["/hooks", "/hooks", "/hooks/elsewhere"]


def test_a_response_may_ask_for_something(receiver: Receiver, sender: Sender) -> None:
    receiver.default = BUSY
    attempt = sender.send(WEBHOOK, endpoint(receiver.url))
    assert (attempt.status, attempt.demand, attempt.is_success) == (429, Demand(pause=7), False)


@pytest.mark.parametrize(
    ("url", "secret", "error"),
    [
        ("ftp://app.example/", SECRET, "the webhook URL is not http or https"),
        ("http://127.0.0.1:1/", SECRET, "the connection was refused"),
        ("http://127.0.0.1:1/", "plain-text", "the webhook secret is not whsec_ and base64"),
    ],
)
def test_what_cannot_be_sent_is_a_failed_attempt(sender: Sender, url: str, secret: str, error: str) -> None:
    to = endpoint(url, secret)
    assert sender.send(WEBHOOK, to) == Attempt(error=error, mark=to.mark)


def test_who_does_not_respond_in_time_is_given_up(receiver: Receiver) -> None:
    sender = Sender("demo", Network(allow_private=True), timeout=0.2)
    receiver.default = fixtures.hang
    assert sender.send(WEBHOOK, endpoint(receiver.url)).error == "no answer within 0.2 s"


def test_nothing_is_sent_where_nothing_is_wanted(receiver: Receiver, sender: Sender) -> None:
    narrow = {
        "url": receiver.url,
        "url_base": fingerprint(receiver.url),
        "types": orjson.dumps(["session.*"]).decode(),
        "generation": "1",
    }
    mark = endpoint(receiver.url, **narrow).mark
    for attempt in (
        sender.send(WEBHOOK, None),
        sender.send(WEBHOOK, endpoint("")),
        sender.send(WEBHOOK, endpoint(receiver.url, **narrow)),
    ):
        assert attempt.skipped
        assert not attempt.was_made
    disabled = endpoint(receiver.url, **narrow, mark=mark, disabled_at="1", reason="it answered 410 Gone")
    again = Webhook("1-0", "demo", "session.ended", "s", 0, b"{}")
    assert sender.send(again, disabled).withheld == "the endpoint is disabled: it answered 410 Gone"
    assert not receiver.received
    # What is tried again was wanted before.
    again = Webhook("1-0", "demo", "conference.created", "r", 0, b"{}", in_retry_queue=True)
    assert sender.send(again, endpoint(receiver.url, **narrow)).is_success
