"""Many commands in one request: each gets what it would have got alone. With a controller in memory."""

from __future__ import annotations

import json
from typing import Any

import gevent
import pytest
from werkzeug.test import TestResponse

from controller.commands import CreateRoom, SetFlag
from controller.errors import OverRate, Refused, StoreUnavailable
from controller.idempotency import HOLD_LONG_MS
from controller.limits import Budget
from tests.unit.web_fakes import (
    APP,
    FOREIGN_ROOM,
    FOREIGN_SESSION,
    HEADERS,
    MISSING_ROOM,
    ROOM,
    SESSION,
    FakeController,
    whole_app,
)
from web.batches import MAX_BYTES, MAX_SECONDS
from web.errors import STATUS

MUTE = f"/api/v1/sessions/{SESSION}/commands/conference/mute"
ROOMS = "/api/v1/conferences"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

controller = FakeController()
client = whole_app(controller).test_client()


@pytest.fixture(autouse=True)
def fresh() -> None:
    controller.reset()


def batch(*requests: dict[str, Any], **headers: str) -> TestResponse:
    return client.post("/api/v1/batch", json={"requests": requests}, headers={**HEADERS, **headers})


def results(*requests: dict[str, Any]) -> list[dict[str, Any]]:
    response = batch(*requests)
    assert response.status_code == 200
    found: list[dict[str, Any]] = response.get_json()["results"]
    return found


ALONE: dict[str, dict[str, Any]] = {
    "a success": {"path": MUTE},
    "with a body": {"path": MUTE, "body": {"command_uid": "m-1"}},
    "another status": {"path": ROOMS, "body": {"name": "weekly"}},
    "another method": {"method": "DELETE", "path": f"{ROOMS}/{ROOM}"},
    "a change": {"method": "PATCH", "path": f"{ROOMS}/{ROOM}", "body": {"locked": True}},
    "a body that lacks": {"path": ROOMS, "body": {}},
    "no body": {"path": ROOMS},
    "an unknown field": {"path": MUTE, "body": {"name": 1}},
    "a bad value": {"path": f"{ROOMS}/{ROOM}/volume", "body": {"volume": 99}},
    "a bad id": {"path": f"{ROOMS}/weekly/stop"},
    "what is missing": {"path": f"{ROOMS}/{MISSING_ROOM}/stop"},
    "another's room": {"method": "DELETE", "path": f"{ROOMS}/{FOREIGN_ROOM}"},
    "another's session": {"path": MUTE.replace(SESSION, FOREIGN_SESSION)},
    "another's room in the body": {"path": MUTE.replace("mute", "join"), "body": {"room_id": FOREIGN_ROOM}},
    "a body that is too large": {"path": MUTE, "body": {"command_uid": "x" * 20_000}},
}


@pytest.mark.parametrize("request_", ALONE.values(), ids=ALONE)
def test_each_gets_what_it_would_have_got_alone(request_: dict[str, Any]) -> None:
    alone = client.open(
        request_["path"], method=request_.get("method", "POST"), json=request_.get("body"), headers=HEADERS
    )
    asked = controller.asked[:]
    controller.asked.clear()
    (found,) = results(request_)
    assert found == {
        "status": alone.status_code,
        "code": alone.headers.get("X-Error-Code", ""),
        "body": alone.get_json(),
    }
    assert controller.asked == asked


def test_they_are_carried_out_in_their_order_and_none_holds_up_another() -> None:
    found = results(*ALONE.values())
    assert [each["status"] for each in found] == [202, 202, 201, 200, 200, *[400] * 5, 404, 403, 403, 403, 413]
    assert [type(command) for command in controller.asked[:3]] == [SetFlag, SetFlag, CreateRoom]


@pytest.mark.parametrize("code", STATUS)
def test_every_refusal_is_a_result(code: str) -> None:
    controller.refusal = Refused(code, {"retry_after_ms": 7} if STATUS[code] == 429 else None)
    (found,) = results({"path": MUTE})
    assert (found["status"], found["code"]) == (STATUS[code], code)


def test_a_store_that_is_away_is_a_result() -> None:
    controller.failure = StoreUnavailable("away")
    assert [each["status"] for each in results({"path": MUTE}, {"path": MUTE})] == [503, 503]


def test_a_fault_is_the_result_of_one() -> None:
    controller.failure = RuntimeError("boom")
    (found,) = results({"path": MUTE})
    assert (found["status"], found["code"]) == (500, "internal")


@pytest.mark.parametrize("command", ["mute", "unmute"])
def test_each_has_the_trace_of_the_request(command: str) -> None:
    batch({"path": MUTE.replace("mute", command)}, traceparent=TRACEPARENT)
    assert [asked.trace for asked in controller.asked] == [TRACEPARENT]


def test_others_are_served_between_two_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    execute = controller.execute

    def carry_out(command: Any, _admission: object) -> Any:
        turns.append("command")
        gevent.spawn(turns.append, "another request")
        return execute(command)

    monkeypatch.setattr(controller, "execute", carry_out)
    results(*[{"path": MUTE}] * 5)
    assert turns == ["command", "another request"] * 5


def test_the_claim_of_a_batch_outlasts_it() -> None:
    assert MAX_SECONDS * 1000 < HOLD_LONG_MS


def test_each_counts_as_a_request_and_the_key_is_checked_once() -> None:
    results({"path": MUTE}, {"path": ROOMS}, {"path": MUTE})
    assert controller.admitted == [APP] * 3
    assert len(controller.authenticated) == 1


def test_what_is_above_the_rate_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    over = OverRate(Budget(limit=100, remaining=0, reset_ms=1000), {"retry_after_ms": 1001})
    monkeypatch.setattr(controller, "admit_each", lambda _app_id, count: [controller.budget] * (count - 1) + [over])
    response = batch({"path": MUTE}, {"path": MUTE}, {"path": MUTE})
    found = response.get_json()["results"]
    assert [each["status"] for each in found] == [202, 202, 429]
    assert (found[2]["code"], found[2]["body"]["detail"]) == ("rate_limited", {"retry_after_ms": 1001})
    assert len(controller.asked) == 2
    assert response.headers["RateLimit-Remaining"] == "0"


WRONG: dict[str, tuple[Any, str]] = {
    "none": ([], "requests"),
    "too many": ([{"path": MUTE}] * 101, "requests"),
    "no path": ([{"method": "POST"}], "requests.0.path"),
    "another batch": ([{"path": MUTE}, {"path": "/api/v1/batch"}], "requests.1.path"),
    "what only reads": ([{"method": "GET", "path": ROOMS}], "requests.0.method"),
    "a stream": ([{"path": "/api/v1/events"}], "requests.0.path"),
    "the webhook endpoint": ([{"path": "/api/v1/webhooks/endpoint/test"}], "requests.0.path"),
    "a portal link": ([{"path": "/api/v1/portal-links"}], "requests.0.path"),
    "the console": ([{"path": "/console/api/login"}], "requests.0.path"),
    "no command": ([{"path": "/api/v1/nothing"}], "requests.0.path"),
    "another method": ([{"method": "DELETE", "path": ROOMS}], "requests.0.path"),
    "parameters": ([{"path": f"{ROOMS}?x=1"}], "requests.0.path"),
    "a host": ([{"path": f"http://127.0.0.1{ROOMS}"}], "requests.0.path"),
    "two slashes": ([{"path": f"/api/v1//conferences/{ROOM}/stop"}], "requests.0.path"),
    "a slash at the end": ([{"path": f"{ROOMS}/"}], "requests.0.path"),
    "an escape": ([{"path": f"{ROOMS}/%2e%2e/batch"}], "requests.0.path"),
    "dots": ([{"path": "/api/v1/conferences/../batch"}], "requests.0.path"),
    "a line break": ([{"path": f"{ROOMS}\r\nX-API-Key: x"}], "requests.0.path"),
    "a long path": ([{"path": f"{ROOMS}/{'x' * 300}/stop"}], "requests.0.path"),
    "a body that is no object": ([{"path": MUTE, "body": "x"}], "requests.0.body"),
    "another field": ([{"path": MUTE, "headers": {}}], "requests.0.headers"),
    "another app": ([{"path": MUTE, "X-App-ID": "other"}], "requests.0.X-App-ID"),
}


@pytest.mark.parametrize(("requests", "field"), WRONG.values(), ids=WRONG)
def test_a_batch_of_the_wrong_form_does_nothing(requests: Any, field: str) -> None:
    response = client.post("/api/v1/batch", json={"requests": [*requests]}, headers=HEADERS)
    assert response.status_code == 400
    assert [each["field"] for each in response.get_json()["detail"]["fields"]] == [field]
    assert not controller.asked


def test_a_batch_may_be_so_large() -> None:
    text = json.dumps({"requests": [{"path": MUTE}]})
    for padding, status in ((MAX_BYTES - len(text), 200), (MAX_BYTES - len(text) + 1, 413)):
        response = client.post(
            "/api/v1/batch", data=text + " " * padding, content_type="application/json", headers=HEADERS
        )
        assert response.status_code == status


def test_a_name_that_is_given_twice_in_a_body() -> None:
    text = json.dumps({"requests": [{"path": MUTE, "body": {}}]}).replace("{}", '{"command_uid":"a","command_uid":"b"}')
    response = client.post("/api/v1/batch", data=text, content_type="application/json", headers=HEADERS)
    assert response.status_code == 400


def test_a_batch_needs_a_key() -> None:
    assert client.post("/api/v1/batch", json={"requests": [{"path": MUTE}]}).status_code == 401
    assert not controller.asked


def test_a_body_that_is_nested_deep_is_refused_before_anything_is_done() -> None:
    body: dict[str, Any] = {"name": "weekly"}
    for _ in range(300):
        body = {"name": body}
    requests = [{"path": ROOMS, "body": {"name": "daily"}}, {"path": ROOMS, "body": body}]
    data = json.dumps({"requests": requests})
    response = client.post("/api/v1/batch", data=data, content_type="application/json", headers=HEADERS)
    assert response.status_code == 400
    assert response.get_json()["detail"]["fields"] == [
        {"field": "requests.1.body", "problem": "must be nested at most 16 deep"}
    ]
    assert controller.asked == []


def test_a_field_that_is_not_known_is_told_with_those_that_are_known_there() -> None:
    response = batch({"path": MUTE, "Idempotency-Key": "x"})
    assert response.get_json()["detail"]["fields"] == [
        {
            "field": "requests.0.Idempotency-Key",
            "problem": "is not a known field: known are method, path, body",
        }
    ]
