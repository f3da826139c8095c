"""The OpenAPI document says what the API does: checked by requests made up from it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from controller.errors import Refused
from tests.unit.web_fakes import HEADERS, ROOM, SESSION, WEBHOOK, FakeController
from web import errors
from web.app import create_app

_controller = FakeController()
_app = create_app(_controller)
DOCUMENT: dict[str, Any] = json.loads(_app.test_client().get("/openapi.json").data)
OPERATIONS = [
    (method, path, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
schema = schemathesis.openapi.from_wsgi("/openapi.json", _app)
QUICK = hypothesis.settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


KNOWN = {"room_id": ROOM, "uuid": SESSION, "webhook_id": WEBHOOK}


@schema.parametrize()
@QUICK
def test_requests_made_up_from_the_document(case: schemathesis.Case) -> None:
    _controller.reset()
    # Query parameters that nobody knows are ignored, which counts as accepting what the document does not allow.
    rejection = [] if case.method == "GET" else [negative_data_rejection]
    case.call_and_validate(headers=HEADERS, checks=[*CHECKS, *rejection])


@schema.parametrize()
@QUICK
def test_requests_about_what_there_is(case: schemathesis.Case) -> None:
    """Ids made up are never anyone's: with those of the fake, requests get as far as an answer."""
    _controller.reset()
    case.path_parameters |= {name: known for name, known in KNOWN.items() if name in case.path_parameters}
    if isinstance(case.body, dict) and "room_id" in case.body:
        case.body["room_id"] = ROOM
    case.call_and_validate(headers=HEADERS, checks=CHECKS)


def _reasons(operation: dict[str, Any]) -> set[str]:
    return {
        reason
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        for reason in content.get("examples", {})
        if reason in errors.STATUS
    }


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_reason_is_documented_with_its_status(method: str, path: str, operation: dict[str, Any]) -> None:
    for reason in _reasons(operation):
        status = str(errors.STATUS[reason])
        example = operation["responses"][status]["content"]["application/json"]["examples"][reason]["value"]
        assert example == errors.body(str(Refused(reason)), example.get("detail"))


def test_what_the_commands_refuse_is_documented() -> None:
    by_id = {operation["operationId"]: _reasons(operation) for _, _, operation in OPERATIONS}
    assert by_id["create_room"] >= {"name_taken", "no_node", "rate_limited"}
    assert by_id["pause"] >= {"room_not_found", "room_forbidden", "nothing_playing", "node_down"}
    assert by_id["mute"] >= {"session_not_found", "session_forbidden", "not_in_room", "still_joining"}
    assert "already_muted" in by_id["mute"]
    assert "already_muted" not in by_id["unmute"]
    assert "room_forbidden" not in by_id["list_members"]
    assert by_id["set_endpoint"] >= {"url_refused", "rate_limited"}
    assert by_id["redeliver"] >= {"webhook_not_found", "webhook_pending", "no_endpoint", "endpoint_disabled"}


def test_every_operation_under_the_api_wants_both_headers() -> None:
    for _, path, operation in OPERATIONS:
        needs = operation.get("security")
        assert needs == ([{"app": [], "key": []}] if path.startswith("/api/") else None)
    schemes = DOCUMENT["components"]["securitySchemes"].values()
    assert {(each["type"], each["in"], each["name"]) for each in schemes} == {
        ("apiKey", "header", "X-App-ID"),
        ("apiKey", "header", "X-API-Key"),
    }


def test_every_operation_of_the_application_is_documented() -> None:
    served = {
        (method.lower(), re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in _app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served - {("get", "/openapi.json"), ("get", "/docs")} == {(method, path) for method, path, _ in OPERATIONS}


def test_bodies_are_required_when_a_field_is() -> None:
    required = {
        operation["operationId"]: operation["requestBody"]["required"]
        for _, _, operation in OPERATIONS
        if "requestBody" in operation
    }
    assert required == {
        "create_room": True,
        "delete_room": False,
        "play": True,
        "pause": False,
        "stop": False,
        "set_volume": True,
        "join": True,
        "leave": False,
        "mute": False,
        "unmute": False,
        "set_endpoint": True,
        "rotate_secret": False,
        "send_test": False,
        "redeliver": False,
        "redeliver_range": True,
    }


def test_400_is_documented_where_something_is_validated() -> None:
    without = {operation["operationId"] for _, _, operation in OPERATIONS if "400" not in operation["responses"]}
    assert without == {"healthz", "readyz", "get_session", "get_endpoint", "get_delivery"}


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_every_operation_and_loads_nothing() -> None:
    response = _app.test_client().get("/docs")
    assert response.content_type == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    page = Page()
    page.feed(response.get_data(as_text=True))
    assert page.tags.count("details") == len(OPERATIONS)
    assert page.links == ["/openapi.json"]
    assert "script" not in page.tags
    assert "url(" not in page.text
    assert all(path in page.text and operation["summary"] in page.text for _, path, operation in OPERATIONS)
    assert "<br/>" not in page.text


def test_the_document_is_made_once() -> None:
    client = _app.test_client()
    assert client.get("/openapi.json").data == client.get("/openapi.json").data
    assert client.get("/openapi.json").headers["Cache-Control"] == "max-age=300"
