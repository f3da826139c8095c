"""The OpenAPI document says what the API does: checked by requests made up from it."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema_rs
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

from controller.controller import Limits
from controller.errors import Refused
from controller.webhooks.types import DATA
from tests import webhook_data
from tests.unit.web_fakes import (
    HEADERS,
    RECORDING,
    ROOM,
    SESSION,
    WEBHOOK,
    FakeController,
    whole_app,
)
from web import errors, openapi, schemas

_controller = FakeController()
_app = whole_app(_controller)
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


KNOWN = {"room_id": ROOM, "uuid": SESSION, "webhook_id": WEBHOOK, "recording_id": RECORDING}


@schema.parametrize()
@QUICK
def test_requests_made_up_from_the_document(case: schemathesis.Case) -> None:
    _controller.reset()
    case.call_and_validate(headers=HEADERS, checks=[*CHECKS, negative_data_rejection])


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
    assert "url_refused" in by_id["play"]
    assert by_id["set_endpoint"] >= {"url_refused", "rate_limited"}
    assert by_id["redeliver"] >= {"webhook_not_found", "webhook_pending", "no_endpoint", "endpoint_disabled"}


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_what_is_left_of_the_rate_is_documented_where_it_is_said(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    names = {f"RateLimit-{name}" for name in ("Limit", "Remaining", "Reset")}
    for status, response in operation["responses"].items():
        is_said = path.startswith("/api/") and status != "401"
        assert (names <= response["headers"].keys()) == is_said


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
        if not rule.endpoint.startswith("console.")  # the console's own, for its pages alone
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served - {("get", "/openapi.json"), ("get", "/docs"), ("get", "/")} == {
        (method, path) for method, path, _ in OPERATIONS
    }


def test_bodies_are_required_when_a_field_is() -> None:
    required = {
        operation["operationId"]: operation["requestBody"]["required"]
        for _, _, operation in OPERATIONS
        if "requestBody" in operation
    }
    assert required == {
        "create_room": True,
        "change_room": False,
        "delete_room": False,
        "play": True,
        "pause": False,
        "stop": False,
        "set_volume": True,
        "dial": True,
        "hang_up": False,
        "transfer": True,
        "record_room": False,
        "record_session": False,
        "pause_recording": False,
        "resume_recording": False,
        "stop_recording": False,
        "delete_recording": False,
        "send_dtmf": True,
        "collect_digits": False,
        "play_to_session": True,
        "stop_session_play": False,
        "mute_all": False,
        "unmute_all": False,
        "deaf_all": False,
        "undeaf_all": False,
        "kick_all": False,
        "join": True,
        "leave": False,
        "kick": False,
        "set_member_volume": True,
        "coach": True,
        "uncoach": False,
        "change_member": False,
        "hold": False,
        "unhold": False,
        "hold_all": False,
        "unhold_all": False,
        "mute": False,
        "unmute": False,
        "deaf": False,
        "undeaf": False,
        "batch": True,
        "set_endpoint": True,
        "rotate_secret": False,
        "send_test": False,
        "redeliver": False,
        "redeliver_range": True,
        "create_portal_link": False,
    }


def test_400_is_documented_where_something_is_validated() -> None:
    without = {operation["operationId"] for _, _, operation in OPERATIONS if "400" not in operation["responses"]}
    assert without == {"healthz", "readyz"}


def test_docs_list_the_operations_their_successes_and_their_parameters() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+) (/api/v1\S+)` \| ([0-9, ]+) \|", page, re.MULTILINE)
    listed = {(method.lower(), path): set(statuses.split(", ")) for method, path, statuses in rows}
    assert listed == {
        (method, path): {status for status in operation["responses"] if status < "300"}
        for method, path, operation in OPERATIONS
        if path.startswith("/api/")
    }
    for _, path, operation in OPERATIONS:
        names = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
        row = re.search(rf"^\| `{path.removeprefix('/api/v1')}` \| (.+) \|$", page, re.MULTILINE)
        if narrowing := names - {"limit", "cursor"}:
            assert row
            assert narrowing <= set(re.findall(r"`(\w+)`", row[1]))


def test_docs_tell_how_long_bodies_may_be() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    (told,) = re.findall(r"^How long a body may be .+?everything else", page, re.MULTILINE | re.DOTALL)
    too_long = [operation["responses"]["413"] for _, _, operation in OPERATIONS if "413" in operation["responses"]]
    bounds = {int(bytes_) // 1024 for bytes_ in re.findall(r'"max_bytes": (\d+)', json.dumps(too_long))}
    assert {int(kib) for kib in re.findall(r"(\d+) KiB", told)} == {kib for kib in bounds if kib < 1024}


# Examples


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body that is described, and what it is the body of."""
    for item in (DOCUMENT["paths"], DOCUMENT["webhooks"]):
        for operation in (operation for methods in item.values() for operation in methods.values()):
            bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
            for name, body in bodies.items():
                for content in body.get("content", {}).values():
                    yield f"{operation['operationId']} {name}", content


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in contents()])
def test_every_body_has_examples_that_are_valid(content: dict[str, Any]) -> None:
    schema = jsonschema_rs.validator_for({**content["schema"], "components": DOCUMENT["components"]})
    examples = (
        [each["value"] for each in content["examples"].values()] if "examples" in content else [content["example"]]
    )
    assert examples
    for example in examples:
        schema.validate(example)


def test_every_parameter_has_a_default_and_examples_that_are_valid() -> None:
    for method, path, operation in OPERATIONS:
        for parameter in operation.get("parameters", ()):
            schema = jsonschema_rs.validator_for({**parameter["schema"], "components": DOCUMENT["components"]})
            for value in (parameter["schema"].get(name) for name in ("default", "example")):
                if value is not None:
                    assert schema.is_valid(value), (method, path, parameter)
            for value in parameter["schema"].get("examples", ()):
                assert schema.is_valid(value), (method, path, parameter)


def examples(operation: dict[str, Any], status: str) -> dict[str, Any]:
    found = operation["responses"][status]["content"]["application/json"]["examples"]
    return {name: each["value"] for name, each in found.items()}


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_errors_look_like_real_ones(method: str, path: str, operation: dict[str, Any]) -> None:
    if not path.startswith("/api/"):
        return
    for example in examples(operation, "400").values():
        assert example["detail"]["fields"]
    assert examples(operation, "413")["too_large"]["detail"]["max_bytes"] >= 16_384
    group = re.search("Rate limit `([a-z_]+)`", operation["description"])
    told = {each["detail"].get("group") for each in examples(operation, "429").values()}
    assert told == ({None, group[1]} if group else {None})
    if group and group[1] != "webhook_test":
        assert group[1] in Limits().cooldowns


def test_a_400_is_what_a_bad_request_gets() -> None:
    bad = {
        ("create_room", "post", "/api/v1/conferences", b"{}"),
        ("get_room", "get", "/api/v1/conferences/weekly-standup", b""),
        ("list_rooms", "get", "/api/v1/conferences?limit=0", b""),
        ("mute", "post", f"/api/v1/sessions/{SESSION}/commands/conference/mute", b'{"command_uid": ""}'),
    }
    by_id = {operation["operationId"]: operation for _, _, operation in OPERATIONS}
    for operation, method, path, data in bad:
        answer = _app.test_client().open(
            path, method=method, headers=HEADERS, data=data, content_type="application/json"
        )
        assert answer.get_json() == examples(by_id[operation], "400")["invalid"]


def test_the_examples_of_errors_have_no_detail_that_is_not_documented() -> None:
    documented = DOCUMENT["components"]["schemas"]["Detail"]["properties"].keys()
    shown = {
        name
        for _, _, operation in OPERATIONS
        for status in operation["responses"].keys() - {"200", "201", "202", "206", "304"}
        for example in examples(operation, status).values()
        for name in example.get("detail", ())
    }
    assert shown <= documented


@pytest.mark.parametrize("reason", ["name_taken", "in_other_room"])
def test_a_409_that_names_a_room_does_so_in_its_example(reason: str) -> None:
    shown = [examples(operation, "409") for _, _, operation in OPERATIONS if reason in _reasons(operation)]
    assert [example[reason]["detail"] for example in shown] == [{"room_id": ROOM}]


def test_how_much_a_listing_returns() -> None:
    most = {"list_rooms": 200, "list_members": 1000, "list_sessions": 1000, "list_deliveries": 200}
    most |= {"list_recordings": 200}
    for _, _, operation in OPERATIONS:
        for parameter in operation.get("parameters", ()):
            if parameter["name"] == "limit":
                figure = most.pop(operation["operationId"])
                assert parameter["schema"].items() >= {"type": "integer", "minimum": 1, "default": 50}.items()
                assert f"1 to {figure}" in parameter["description"]
                listed = DOCUMENT["components"]["schemas"][
                    operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                ]
                assert figure in [part.get("maxItems") for part in listed["properties"].values()]
    assert not most


def test_what_must_not_be_empty_may_have_one_entry() -> None:
    """What is said of it has no figure."""
    least = re.findall(r'"(?:minLength|minItems)": ?(\d+)', json.dumps(DOCUMENT))
    assert set(least) == {"1"}


def test_the_document_says_where_the_api_is() -> None:
    assert [each["url"] for each in DOCUMENT["servers"]] == ["/"]


# Webhooks


def test_every_type_of_webhook_is_described_and_its_example_is_one() -> None:
    assert list(DOCUMENT["webhooks"]) == list(DATA)
    for type_, item in DOCUMENT["webhooks"].items():
        example = item["post"]["requestBody"]["content"]["application/json"]["example"]
        assert example["type"] == type_
        webhook_data.check(type_, example["data"])
        headers = {each["name"] for each in item["post"]["parameters"] if each["in"] == "header"}
        assert headers == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_names_in_the_document_are_used_once() -> None:
    operations = [operation for item in DOCUMENT["webhooks"].values() for operation in item.values()]
    ids = [operation["operationId"] for operation in [*operations, *(each for _, _, each in OPERATIONS)]]
    assert len(ids) == len(set(ids))
    assert not {model.__name__ for model in DATA.values()} & set(vars(schemas))


# The page


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: dict[str, list[str]] = defaultdict(list)
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts["".join(self.tags[-1:])].append(data)
        self.text += data


@pytest.fixture(scope="module")
def page() -> Page:
    page = Page()
    page.feed(_app.test_client().get("/docs").get_data(as_text=True))
    return page


def test_the_page_shows_everything_and_loads_nothing(page: Page) -> None:
    response = _app.test_client().get("/docs")
    assert response.content_type == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert page.tags.count("details") == len(OPERATIONS) + len(DATA)
    assert page.links == ["/openapi.json"]
    assert "script" not in page.tags
    assert re.findall(r"^ *to \d+\.", page.text, re.MULTILINE) == []
    assert "url(" not in page.text
    for _, path, operation in OPERATIONS:
        assert path in page.text
        assert operation["summary"].replace("`", "") in page.text
    assert all(type_ in page.text for type_ in DATA)


def test_the_page_renders_its_text(page: Page) -> None:
    assert "<br/>" not in page.text
    assert "`" not in page.text
    assert {"conference.member.joined", "conf_play", "detail.room_id", "X-Request-ID"} <= set(page.texts["code"])


def test_text_is_escaped_before_it_is_rendered() -> None:
    found = {
        **DOCUMENT,
        "info": {"title": "<b>T</b>", "description": "`<i>code</i>` and <i>text</i>"},
    }
    text = openapi.page(found)
    assert "<code>&lt;i&gt;code&lt;/i&gt;</code> and &lt;i&gt;text&lt;/i&gt;" in text
    assert "<i>" not in text
    assert "<b>T</b>" not in text


def test_every_operation_has_a_line_for_curl_that_works(page: Page) -> None:
    lines = [line for line in page.texts["pre"] if line.startswith("curl ")]
    assert len(lines) == len(OPERATIONS)
    values = {"SWITCHROOM": "", "APP_ID": HEADERS["X-App-ID"], "API_KEY": HEADERS["X-API-Key"]}
    options = argparse.ArgumentParser()
    options.add_argument("url")
    options.add_argument("-X", default=None)
    options.add_argument("-H", action="append", default=[])
    options.add_argument("-d", default=None)
    asked = set()
    for line in lines:
        words = shlex.split(re.sub(r"\$(\w+)", lambda name: values[name[1]], line))
        given = options.parse_args(words[1:])
        method = given.X or ("GET" if given.d is None else "POST")
        _controller.reset()
        answer = _app.test_client().open(
            given.url, method=method, headers=dict(header.split(": ") for header in given.H), data=given.d
        )
        assert answer.status_code < 300, f"{line}: {answer.data!r}"
        asked.add((method, given.url))
    assert len(asked) == len(OPERATIONS)


def test_the_root_leads_to_the_page() -> None:
    response = _app.test_client().get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "/docs")


def test_the_document_is_made_once() -> None:
    client = _app.test_client()
    assert client.get("/openapi.json").data == client.get("/openapi.json").data
    assert client.get("/openapi.json").headers["Cache-Control"] == "max-age=300"
