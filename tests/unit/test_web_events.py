"""The event stream as HTTP: what it is asked for with, and what each event looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from controller.errors import Refused, StoreUnavailable
from controller.live import Filter, LiveEvent, Notice
from tests.unit.web_fakes import APP, EVENT, HEADERS, ROOM, WEBHOOK, FakeController, FakeStreams
from web import events
from web.app import create_app

PATH = "/api/v1/events"
OTHER = ROOM.replace("acW68", "bcX79")
AT = 1778070896789  # 2026-05-06T12:34:56.789Z


@pytest.fixture
def streams() -> FakeStreams:
    return FakeStreams()


@pytest.fixture
def client(streams: FakeStreams) -> FlaskClient:
    return create_app(FakeController(), streams).test_client()


def line(**fields: Any) -> LiveEvent:
    return LiveEvent("{p07}", EVENT[4:], {"at": AT, "app": APP, **fields})


def webhook(data: bytes) -> LiveEvent:
    return LiveEvent(
        "{p07}", EVENT[4:], {"at": AT, "app": APP, "kind": "webhook", "type": "session.ended", "webhook": WEBHOOK}, data
    )


def only_event(client: FlaskClient) -> list[str]:
    """The lines of the one event that comes; what comes before it is where the stream begins."""
    opening, event, end = client.get(PATH, headers=HEADERS).text.split("\n\n")
    assert opening == f"retry: 2000\nid: {EVENT}"
    assert end == ""
    return event.split("\n")


def test_it_is_an_event_stream_that_nobody_may_keep(client: FlaskClient) -> None:
    response = client.get(PATH, headers=HEADERS)
    assert response.status_code == 200
    assert response.content_type == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["X-Request-ID"]


def test_a_webhook_is_its_body_and_its_id(client: FlaskClient, streams: FakeStreams) -> None:
    data = b'{"app_id":"demo","note":"a \\/ and a \\n"}'
    streams.batches = [[webhook(data)]]
    body = b'{"type":"session.ended","timestamp":"2026-05-06T12:34:56.789Z","data":' + data
    assert only_event(client) == [
        f"id: {EVENT}",
        "event: session.ended",
        f'data: {body.decode()},"webhook_id":"{WEBHOOK}"}}',
    ]


def test_a_line_of_the_log_has_the_names_of_the_api(client: FlaskClient, streams: FakeStreams) -> None:
    streams.batches = [[line(kind="delivery", type="session.ended", session="s", webhook=WEBHOOK, next_at=AT + 1000)]]
    identity, name, data = only_event(client)
    assert (identity, name) == (f"id: {EVENT}", "event: log.delivery")
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "log.delivery",
        "timestamp": "2026-05-06T12:34:56.789Z",
        "data": {
            "type": "session.ended",
            "app_id": APP,
            "uuid": "s",
            "webhook_id": WEBHOOK,
            "next_at": "2026-05-06T12:34:57.789Z",
        },
    }


def test_an_app_is_not_shown_what_is_the_operator_s(client: FlaskClient, streams: FakeStreams) -> None:
    streams.batches = [[line(kind="command", type="mute", actor="operator:jo", leg="secret", channel="secret")]]
    data = json.loads(only_event(client)[2].removeprefix("data: "))["data"]
    assert data == {"type": "mute", "app_id": APP, "actor": "operator"}


@pytest.mark.parametrize("hostile", ["a\nid: 1", "a\r\n\r\ndata: {}", "a\u2028\u0000"])
def test_no_text_breaks_out_of_its_event(client: FlaskClient, streams: FakeStreams, hostile: str) -> None:
    streams.batches = [[line(kind="refused", type="create", name=hostile)]]
    found = only_event(client)
    assert len(found) == 3
    assert json.loads(found[2].removeprefix("data: "))["data"]["name"] == hostile


def test_a_webhook_whose_data_is_gone_is_a_gap(client: FlaskClient, streams: FakeStreams) -> None:
    streams.batches = [[webhook(b"")]]
    identity, name, data = only_event(client)
    assert (identity, name) == (f"id: {EVENT}", "event: stream.gap")
    assert json.loads(data.removeprefix("data: "))["data"] == {"app_id": APP}


def test_what_stands_in_no_log_has_no_id(client: FlaskClient, streams: FakeStreams) -> None:
    streams.batches = [[Notice("stream.gap", {"app_id": APP})]]
    assert only_event(client)[0] == "event: stream.gap"


def test_a_quiet_stream_says_where_it_is(client: FlaskClient, streams: FakeStreams) -> None:
    streams.batches = [[]]
    assert only_event(client) == [f"id: {EVENT}"]


def test_it_asks_for_what_the_request_names(client: FlaskClient, streams: FakeStreams) -> None:
    query = f"room={ROOM},{OTHER}&type=conference.*,log.state.session.*,session.ended,*"
    client.get(f"{PATH}?{query}", headers={**HEADERS, "Last-Event-ID": EVENT})
    types = ("conference.*", "log.state.session.*", "session.ended", "*")
    assert streams.asked == [(APP, Filter(rooms=(ROOM, OTHER), types=types), EVENT)]


def test_everything_of_the_app_from_now_on_by_default(client: FlaskClient, streams: FakeStreams) -> None:
    client.get(PATH, headers=HEADERS)
    assert streams.asked == [(APP, Filter(), "")]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("room=standup", "room"),
        (f"room={ROOM},", "room"),
        (f"room={','.join([ROOM] * 33)}", "room"),
        ("type=conference.nothing", "type"),
        ("type=log.sent", "type"),
        ("type=log.answer.*", "type"),
        ("type=conference*", "type"),
        ("type=,", "type"),
        (f"type={','.join(['*'] * 33)}", "type"),
        ("room_id=x", "room_id"),
        (f"room={ROOM}&room={OTHER}", "room"),
    ],
)
def test_what_cannot_be_asked_for(client: FlaskClient, streams: FakeStreams, query: str, field: str) -> None:
    response = client.get(f"{PATH}?{query}", headers=HEADERS)
    assert response.status_code == 400
    assert response.json is not None
    assert response.json["detail"]["fields"][0]["field"] == field
    assert "is invalid" not in response.text
    assert not streams.asked


@pytest.mark.parametrize(
    "hostile",
    ["", "1", "p07", "p7-1-1", "p07-1-1,p08-1-1", "p07-1-" + "9" * 16, "p07-" + "1" * 4000, "(p07-1-1", "p07-٣-1"],
)
def test_ids_that_no_event_has(client: FlaskClient, streams: FakeStreams, hostile: str) -> None:
    headers = {**HEADERS, "Last-Event-ID": hostile.encode().decode("latin-1")}
    response = client.get(PATH, headers=headers)
    assert response.status_code == 400
    assert response.json is not None
    assert response.json["detail"]["fields"] == [{"field": "Last-Event-ID", "problem": "must be the id of an event"}]
    assert not streams.asked


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ValueError("is not the id of an event of this application"), 400),
        (Refused("room_forbidden"), 403),
        (Refused("quota_exceeded", {"quota": "streams", "limit": 1, "used": 1}), 409),
        (StoreUnavailable("away"), 503),
    ],
)
def test_a_stream_that_is_not_opened(
    client: FlaskClient, streams: FakeStreams, failure: Exception, status: int
) -> None:
    streams.failure = failure
    response = client.get(PATH, headers=HEADERS)
    assert response.status_code == status
    assert response.json is not None
    assert response.json["success"] is False


def test_a_key_that_is_valid_no_longer_ends_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "CHECK_SECONDS", 0)
    controller, streams = FakeController(), FakeStreams()
    client = create_app(controller, streams).test_client()
    streams.batches = [[webhook(b"{}")]] * 10
    chunks = client.get(PATH, headers=HEADERS, buffered=False).iter_encoded()
    next(chunks), next(chunks)
    controller.authentication_failure = StoreUnavailable("away")
    assert next(chunks)  # nobody is shut out because the store is away
    controller.authentication_failure = None
    controller.keys[APP] = "another"
    assert list(chunks) == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_stream_is_closed_with_its_response(client: FlaskClient, streams: FakeStreams, method: str) -> None:
    client.open(PATH, method=method, headers=HEADERS).close()
    assert [each.is_closed for each in streams.opened] == [True]
