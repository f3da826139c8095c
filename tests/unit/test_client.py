"""The client: the same operations and fields as the OpenAPI document, what it makes again, what it raises."""

from __future__ import annotations

import gzip
import inspect
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import pytest
from werkzeug.test import Client as WSGIClient

from controller.errors import REASONS, Refused
from switchroom.client import (
    APIError,
    Client,
    Conflict,
    Forbidden,
    InvalidRequest,
    Listing,
    NoResponse,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    events,
    fake,
    models,
    webhooks,
)
from switchroom.client import transport as wire
from switchroom.client.models import Model
from switchroom.client.transport import Request, Response, Stream
from tests.unit.web_fakes import (
    APP,
    FOREIGN_ROOM,
    KEY,
    MISSING_ROOM,
    RECORDING,
    ROOM,
    SESSION,
    WEBHOOK,
    FakeController,
    whole_app,
)
from web import errors

controller = FakeController()
app = whole_app(controller)
DOCUMENT: dict[str, Any] = json.loads(app.test_client().get("/openapi.json").data)
OPERATIONS = {
    operation["operationId"]: operation for methods in DOCUMENT["paths"].values() for operation in methods.values()
}
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
# Read with `events`.
STREAMS = {"stream_events", "get_recording_content"}


class ToApp:
    """A transport to the application itself, which keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self._client = WSGIClient(app)

    def send(self, request: Request) -> Response:
        self.asked.append(request)
        found = self._client.open(
            request.target, method=request.method, headers=dict(request.headers), data=request.body
        )
        return Response(found.status_code, {name.lower(): value for name, value in found.headers}, found.data)

    def close(self) -> None: ...


class Scripted:
    """A transport that responds with what it is told, one after the other."""

    def __init__(self, *responses: Response | NoResponse) -> None:
        self.left = list(responses)
        self.asked: list[Request] = []

    def send(self, request: Request) -> Response:
        self.asked.append(request)
        response = self.left.pop(0)
        if isinstance(response, NoResponse):
            raise response
        return response

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def fresh() -> None:
    controller.reset()


@pytest.fixture
def client() -> Client:
    return Client("http://app", app_id=APP, api_key=KEY, retries=0, transport=ToApp())


class WithKey:
    """A client, whose one method gets an idempotency key with whatever it is called."""

    def __init__(self, client: Client, method: Callable[..., Any]) -> None:
        setattr(self, method.__name__, lambda *given, **named: method(client, *given, **named, idempotency_key="k-1"))


# The OpenAPI document


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def kinds(schema: dict[str, Any]) -> set[str]:
    """Which JSON types a value may have."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return set().union(*map(kinds, schema["anyOf"]))
    values = schema.get("enum") or [schema[name] for name in ("const",) if name in schema]
    return {schema["type"]} if "type" in schema else {"boolean" if isinstance(v, bool) else "string" for v in values}


def words(schema: dict[str, Any]) -> set[str]:
    """The words of an enumeration."""
    parts = [schema, *schema.get("anyOf", ())]
    return {word for part in parts for word in (*part.get("enum", ()), *([part["const"]] if "const" in part else []))}


def described(model: type[Model]) -> dict[str, Any]:
    schema: dict[str, Any] = model.model_json_schema()
    return schema["properties"]


def assert_same_fields(model: type[Model], schema: dict[str, Any]) -> None:
    """Each field of the schema is one of the model, of the same type, and as optional; and the other way round."""
    properties = schema["properties"]
    assert set(model.model_fields) == set(properties), model.__name__
    required = set(schema.get("required", ()))
    defs = model.model_json_schema().get("$defs", {})
    for name, field in model.model_fields.items():
        assert field.is_required() == (name in required), f"{model.__name__}.{name}"
        mine = described(model)[name]
        given, known = words(resolved(properties[name])), words(mine)
        assert not known or known == given, f"{model.__name__}.{name}: {known ^ given}"
        assert known or not given or kinds(properties[name]) == {"boolean"}, f"{model.__name__}.{name} has no words"
        theirs, own = kinds(properties[name]), own_kinds(mine, defs)
        assert theirs <= own, f"{model.__name__}.{name}: {theirs} {own}"
        if "items" in properties[name] and "$ref" in properties[name]["items"]:
            inner = next(part for part in get_args(field.annotation) if isinstance(part, type))
            assert_same_fields(inner, resolved(properties[name]["items"]))


def own_kinds(schema: dict[str, Any], defs: dict[str, Any]) -> set[str]:
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return set().union(*(own_kinds(part, defs) for part in schema["anyOf"]))
    return {schema["type"]} if "type" in schema else {"string"}


# What a method calls a field whose name is Python's own.
KEYWORDS = {"from": "caller_id"}


def parameter_of(part: dict[str, Any]) -> str:
    """What a method calls a parameter, or a header."""
    name: str = part["name"]
    return name.lower().replace("-", "_")


def models_of(annotation: Any) -> type[Model]:
    """The model that a method returns, that of a page for a listing."""
    return get_args(annotation)[0] if get_origin(annotation) is Listing else annotation


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - STREAMS))
def test_every_operation_has_a_method_with_the_same_fields(name: str) -> None:
    operation, method = OPERATIONS[name], getattr(Client, name)
    parameters = {parameter_of(part): part["required"] for part in operation.get("parameters", ())}
    if "requestBody" in operation:
        body = resolved(operation["requestBody"]["content"]["application/json"]["schema"])
        required = body.get("required", ())
        parameters |= {KEYWORDS.get(field, field): field in required for field in body.get("properties", {})}
    signature = inspect.signature(method).parameters
    mine = {part.name: part.default is part.empty for part in signature.values() if part.name != "self"}
    assert mine == parameters
    assert method.__doc__ or name == "get_session"
    returned = models_of(get_type_hints(method)["return"])
    for status, response in operation["responses"].items():
        if status < "300":
            schema = resolved(response["content"]["application/json"]["schema"])
            if returned in (models.Playback, models.SessionPlayback, models.Membership):
                # One class for several, which differ in the words of a field.
                assert set(returned.model_fields) == set(schema["properties"])
                assert words(schema["properties"]["status"]) <= words(described(returned)["status"])
            else:
                assert_same_fields(returned, schema)


def test_streams_have_the_same_parameters() -> None:
    methods = {"stream_events": Client.events, "get_recording_content": Client.get_recording_content}
    for name, method in methods.items():
        named = {parameter_of(part) for part in OPERATIONS[name]["parameters"]}
        assert inspect.signature(method).parameters.keys() - {"self"} == named


def test_the_client_has_no_other_operations() -> None:
    public = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert public - {"close", "events", "get_recording_content"} == OPERATIONS.keys() - STREAMS


def test_an_error_s_detail_has_the_same_fields() -> None:
    assert set(models.Detail.model_fields) == set(SCHEMAS["Detail"]["properties"])


def test_the_parameters_that_are_words_name_all_of_them() -> None:
    for name, operation in OPERATIONS.items():
        for part in operation.get("parameters", ()):
            if part["in"] == "query" and (enum := part["schema"].get("enum")) and part["name"] != "type":
                hint = get_type_hints(getattr(Client, name))[part["name"]]
                literal = next(one for one in get_args(hint) if get_origin(one) is Literal)
                assert set(get_args(literal)) == set(enum)


@pytest.mark.parametrize("type_", DOCUMENT["webhooks"])
def test_every_webhook_has_a_class_with_the_same_fields(type_: str) -> None:
    content = DOCUMENT["webhooks"][type_]["post"]["requestBody"]["content"]["application/json"]
    schema = resolved(content["schema"]["properties"]["data"])
    model = webhooks.DATA[type_]
    assert model.__name__ == content["schema"]["properties"]["data"]["$ref"].rpartition("/")[2]
    assert_same_fields(model, schema)
    webhook = webhooks.parse("msg_1", content["example"])
    assert type(webhook.data) is model
    assert webhook.data.model_extra == {}


NEW_OF_MEMBERS = {"deaf", "hold", "volume_in", "volume_out", "role", "tags", "end_on_exit", "waiting", "coaching"}
NEW = NEW_OF_MEMBERS | {"direction", "skipped", "skipped_members"}


@pytest.mark.parametrize("type_", DOCUMENT["webhooks"])
def test_a_webhook_that_an_older_version_has_stored_is_read(type_: str) -> None:
    """It waits until it can be delivered, or is sent again weeks later."""
    example = DOCUMENT["webhooks"][type_]["post"]["requestBody"]["content"]["application/json"]["example"]
    is_about_itself = type_ in ("conference.updated", "conference.member.coaching", "conference.member.updated")
    left = {name: value for name, value in example["data"].items() if is_about_itself or name not in NEW}
    assert webhooks.parse("msg_1", {**example, "data": left}).type == type_


def test_there_are_no_other_webhooks() -> None:
    assert list(webhooks.DATA) == list(DOCUMENT["webhooks"])


# Against the application


CALLS: dict[str, Callable[[Client], Any]] = {
    "create_room": lambda client: client.create_room(
        "standup",
        max_members=5,
        tags=["support"],
        end_on_exit="moderator",
        wait_for_moderator=True,
        hold_music="https://cdn.example.com/music.wav",
        record=True,
        speaker_events=True,
    ),
    "list_rooms": lambda client: next(client.list_rooms(limit=7, name="standup", tag="support").pages()),
    "change_room": lambda client: client.change_room(
        ROOM,
        max_members=5,
        locked=True,
        end_when_empty=None,
        tags=["support"],
        end_on_exit=None,
        record=False,
        speaker_events=False,
        wait_for_moderator=False,
        hold_music=None,
    ),
    "get_room": lambda client: client.get_room(ROOM),
    "list_members": lambda client: next(client.list_members(ROOM, limit=7).pages()),
    "delete_room": lambda client: client.delete_room(ROOM),
    "play": lambda client: client.play(ROOM, ["https://cdn.example.com/a.wav"]),
    "pause": lambda client: client.pause(ROOM),
    "stop": lambda client: client.stop(ROOM),
    "set_volume": lambda client: client.set_volume(ROOM, -3),
    "mute_all": lambda client: client.mute_all(ROOM, exclude=[SESSION]),
    "unmute_all": lambda client: client.unmute_all(ROOM),
    "deaf_all": lambda client: client.deaf_all(ROOM),
    "undeaf_all": lambda client: client.undeaf_all(ROOM),
    "kick_all": lambda client: client.kick_all(ROOM, exclude_moderators=True, reason="Over"),
    "list_sessions": lambda client: next(client.list_sessions(state="parked", room_id=ROOM, did="+747").pages()),
    "get_session": lambda client: client.get_session(SESSION),
    "dial": lambda client: client.dial("+4930123456", "+493098765432", room_id=ROOM, timeout=30, command_uid="d"),
    "transfer": lambda client: client.transfer(SESSION, "+4930123456", "+493098765432", timeout=9, command_uid="t"),
    "hang_up": lambda client: client.hang_up(SESSION, cause="busy", command_uid="h"),
    "send_dtmf": lambda client: client.send_dtmf(SESSION, "12w#", duration=100, command_uid="d"),
    "collect_digits": lambda client: client.collect_digits(
        SESSION, max_digits=4, terminators="*#", timeout=9, digit_timeout=3, command_uid="c"
    ),
    "play_to_session": lambda client: client.play_to_session(
        SESSION, ["https://cdn.example.com/a.wav"], command_uid="p"
    ),
    "stop_session_play": lambda client: client.stop_session_play(SESSION, command_uid="s"),
    "join": lambda client: client.join(
        SESSION, ROOM, muted=False, volume_in=2, role="moderator", tags=["a"], end_on_exit=True, command_uid="j"
    ),
    "leave": lambda client: client.leave(SESSION, command_uid="l"),
    "change_member": lambda client: client.change_member(ROOM, SESSION, muted=False, volume_in=2, tags=["a"]),
    "hold": lambda client: client.hold(SESSION, url="https://cdn.example.com/music.wav"),
    "unhold": lambda client: client.unhold(SESSION, command_uid="o"),
    "hold_all": lambda client: client.hold_all(ROOM),
    "unhold_all": lambda client: client.unhold_all(ROOM, exclude=[SESSION]),
    "set_member_volume": lambda client: client.set_member_volume(SESSION, "in", -2, command_uid="v"),
    "coach": lambda client: client.coach(SESSION, SESSION, command_uid="c"),
    "uncoach": lambda client: client.uncoach(SESSION),
    "kick": lambda client: client.kick(SESSION, reason="Off topic"),
    "mute": lambda client: client.mute(SESSION, command_uid="m"),
    "unmute": lambda client: client.unmute(SESSION),
    "deaf": lambda client: client.deaf(SESSION),
    "undeaf": lambda client: client.undeaf(SESSION),
    "record_room": lambda client: client.record_room(ROOM, upload_url="https://a.example/1.wav", command_uid="r"),
    "record_session": lambda client: client.record_session(SESSION, channels=2, command_uid="r"),
    "pause_recording": lambda client: client.pause_recording(RECORDING, command_uid="p"),
    "resume_recording": lambda client: client.resume_recording(RECORDING),
    "stop_recording": lambda client: client.stop_recording(RECORDING),
    "list_recordings": lambda client: next(
        client.list_recordings(limit=7, state="available", room_id=ROOM, uuid=SESSION).pages()
    ),
    "get_recording": lambda client: client.get_recording(RECORDING),
    "delete_recording": lambda client: client.delete_recording(RECORDING),
    "get_endpoint": lambda client: client.get_endpoint(),
    "set_endpoint": lambda client: client.set_endpoint("https://app.example.com/v2", types=["conference.play.*"]),
    "rotate_secret": lambda client: client.rotate_secret(),
    "send_test": lambda client: client.send_test("conference.member.joined"),
    "create_portal_link": lambda client: client.create_portal_link(role="view", expires_in=600),
    "list_deliveries": lambda client: next(
        client.list_deliveries(
            status="failed",
            type="session.ended",
            room_id=ROOM,
            since=datetime(2026, 5, 6, tzinfo=UTC),
            until=datetime(2026, 5, 7, 1, 2, 3, 456_000, tzinfo=UTC),
        ).pages()
    ),
    "get_delivery": lambda client: client.get_delivery(WEBHOOK),
    "redeliver": lambda client: client.redeliver(WEBHOOK),
    "batch": lambda client: client.batch([{"method": "DELETE", "path": f"/api/v1/conferences/{ROOM}"}]),
    "redeliver_range": lambda client: client.redeliver_range(
        datetime(2026, 5, 6, tzinfo=UTC), datetime(2026, 5, 7, tzinfo=UTC)
    ),
    "healthz": lambda client: client.healthz(),
    "readyz": lambda client: client.readyz(),
}


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - STREAMS))
def test_every_method_asks_for_its_operation_and_reads_what_comes(name: str) -> None:
    transport = ToApp()
    found = CALLS[name](Client("http://app", app_id=APP, api_key=KEY, retries=0, transport=transport))
    assert found.model_extra == {}
    (request,) = transport.asked
    path = request.target.partition("?")[0]
    operation = next(
        operation["operationId"]
        for pattern, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        if re.fullmatch(re.sub(r"\\{\w+\\}|{\w+}", "[^/]+", pattern), path) and method.upper() == request.method
    )
    assert operation == name


def test_every_post_has_its_idempotency_key(client: Client) -> None:
    transport = ToApp()
    client = Client("http://app", app_id=APP, api_key=KEY, retries=0, transport=transport)
    for name, operation in OPERATIONS.items():
        if any(part["name"] == "Idempotency-Key" for part in operation.get("parameters", ())):
            method = getattr(Client, name)
            CALLS[name](cast(Client, WithKey(client, method)))
            assert transport.asked[-1].headers["Idempotency-Key"] == "k-1", name


def test_the_fields_arrive(client: Client) -> None:
    client.join(SESSION, ROOM, command_uid="j-1")
    (command,) = controller.asked
    assert (command.session_id, command.room_id, command.command_uid) == (SESSION, ROOM, "j-1")  # type: ignore[attr-defined]
    next(client.list_deliveries(since=datetime(2026, 5, 6, 12, tzinfo=UTC)).pages())
    assert controller.asked[-1].since == 1_778_068_800_000  # type: ignore[attr-defined]


def test_times_are_aware(client: Client) -> None:
    assert client.get_room(ROOM).created_at == datetime(2026, 5, 6, 12, 34, 56, tzinfo=UTC)
    assert client.get_session(SESSION).started_at == datetime(2026, 5, 6, 12, 34, 56, tzinfo=UTC)
    assert client.get_endpoint().since == datetime(2026, 5, 6, 12, 34, 56, 789_000, tzinfo=UTC)
    with pytest.raises(ValueError, match="no time zone"):
        client.redeliver_range(datetime(2026, 5, 6), datetime(2026, 5, 7))


@pytest.mark.parametrize("identifier", ["../../healthz", "a/b?c#d", "%2e%2e", "", "é"])
def test_an_id_stays_one_part_of_the_path(client: Client, identifier: str) -> None:
    with pytest.raises((NotFound, APIError)) as raised:
        client.get_session(identifier)
    assert raised.value.status in (404, 405)


@pytest.mark.parametrize(
    ("call", "kind", "code"),
    [
        (lambda client: client.create_room("a room"), InvalidRequest, "invalid"),
        (lambda client: client.get_room(FOREIGN_ROOM), Forbidden, "room_forbidden"),
        (lambda client: client.get_room(MISSING_ROOM), NotFound, "room_not_found"),
    ],
)
def test_an_error_has_its_class_status_and_code(
    client: Client, call: Callable[[Client], object], kind: type[APIError], code: str
) -> None:
    with pytest.raises(kind) as raised:
        call(client)
    assert type(raised.value) is kind
    assert raised.value.code == code
    assert raised.value.request_id
    assert str(raised.value).startswith(f"{raised.value.status} {code}: ")


def test_an_error_s_detail_is_read(client: Client) -> None:
    with pytest.raises(InvalidRequest) as invalid:
        client.set_volume(ROOM, 8)
    assert [(problem.field, problem.problem) for problem in invalid.value.detail.fields] == [
        ("volume", "must be at most 7")
    ]
    controller.refusal = Refused("name_taken", {"room_id": ROOM})
    with pytest.raises(Conflict) as taken:
        client.create_room("standup")
    assert taken.value.detail.room_id == ROOM


def test_a_wrong_key() -> None:
    with pytest.raises(Unauthenticated):
        Client("http://app", app_id=APP, api_key="another", transport=ToApp()).get_endpoint()


def test_readiness_names_the_nodes(client: Client) -> None:
    assert client.readyz().nodes == {"acW68": True, "bQ123": False}
    controller.healthy = {"store": False, "nodes": {"acW68": False}}
    with pytest.raises(Unavailable) as raised:
        client.readyz()
    assert (raised.value.detail.store, raised.value.detail.nodes) == (False, {"acW68": False})


# What is made again


def scripted(*responses: Response | NoResponse, retries: int = 3) -> tuple[Client, Scripted, list[float]]:
    transport, waits = Scripted(*responses), []
    client = Client("http://x", app_id="a", api_key="k", retries=retries, transport=transport, sleep=waits.append)
    return client, transport, waits


def error(status: int, code: str = "", retry_after: str = "", **detail: Any) -> Response:
    body = {"success": False, "error": "no", **({"detail": detail} if detail else {})}
    headers = {"x-error-code": code} | ({"retry-after": retry_after} if retry_after else {})
    return Response(status, headers, json.dumps(body).encode())


ENDPOINT = Response(200, {}, b'{"url":"","types":[],"status":"unset","since":null,"reason":"","old_secret_until":null}')
PLAYBACK = Response(202, {}, b'{"operation_id":"","status":"stopped"}')
MEMBERSHIP = Response(202, {}, b'{"room_id":"","status":"leaving"}')


def test_a_get_is_made_again_and_waits_as_long_as_it_is_told() -> None:
    client, transport, waits = scripted(error(503, retry_after="2"), NoResponse("reset", sent=True), ENDPOINT)
    assert client.get_endpoint().status == "unset"
    assert waits[0] == 2
    assert 0 < waits[1] < 1
    assert len({request.target for request in transport.asked}) == 1


def test_a_command_with_a_command_uid_is_made_again_with_it() -> None:
    client, transport, _ = scripted(error(503), NoResponse("reset", sent=True), MEMBERSHIP)
    client.leave("s", command_uid="leave-1")
    assert [request.body for request in transport.asked] == [b'{"command_uid": "leave-1"}'] * 3


def test_a_request_with_an_idempotency_key_is_made_again_with_it() -> None:
    in_use = error(409, "idempotency_key_in_use", retry_after_ms=1250)
    client, transport, waits = scripted(NoResponse("reset", sent=True), in_use, PLAYBACK)
    client.stop("r", idempotency_key="k-1")
    assert [request.headers["Idempotency-Key"] for request in transport.asked] == ["k-1"] * 3
    assert waits[1] == 1.25


@pytest.mark.parametrize("failure", [error(503, retry_after="1"), error(502), NoResponse("reset", sent=True)])
def test_a_command_without_is_not(failure: Response | NoResponse) -> None:
    client, transport, waits = scripted(failure)
    with pytest.raises((Unavailable, APIError, NoResponse)):
        client.leave("s")
    assert (len(transport.asked), waits) == (1, [])


@pytest.mark.parametrize(
    "failure",
    [error(429, "rate_limited", "2", retry_after_ms=1250, group="conf_play"), NoResponse("refused", sent=False)],
)
def test_what_was_surely_not_carried_out_is_made_again_in_any_case(failure: Response | NoResponse) -> None:
    client, transport, waits = scripted(failure, PLAYBACK)
    client.stop("r")
    assert len(transport.asked) == 2
    if isinstance(failure, Response):
        assert waits == [1.25]


def test_waits_grow_and_end() -> None:
    client, transport, waits = scripted(*[error(502)] * 4)
    with pytest.raises(APIError) as raised:
        client.get_endpoint()
    assert raised.value.status == 502
    assert len(transport.asked) == 4
    for number, wait in enumerate(waits):
        assert 0.1 * 2**number <= wait <= 0.2 * 2**number


@pytest.mark.parametrize(
    "failure",
    [
        error(429, "failures", "1", retry_after_ms=1000),  # No correct key gets it.
        error(429, "rate_limited", "61"),
        error(503, retry_after="3600"),
        error(500),
        error(409),
    ],
)
def test_what_is_not_made_again(failure: Response) -> None:
    client, transport, _ = scripted(failure)
    with pytest.raises(APIError):
        client.get_endpoint()
    assert len(transport.asked) == 1


def test_retries_can_be_turned_off() -> None:
    client, _, _ = scripted(error(429, "rate_limited", "1"), retries=0)
    with pytest.raises(TooManyRequests) as raised:
        client.get_endpoint()
    assert raised.value.retry_after == 1


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b"[]", b'{"detail": 1}', b"\xff"])
def test_an_error_of_a_proxy_is_an_error(body: bytes) -> None:
    client, _, _ = scripted(Response(504, {}, body), retries=0)
    with pytest.raises(APIError) as raised:
        client.get_endpoint()
    assert (raised.value.status, raised.value.code) == (504, "")


def test_what_is_not_of_the_api_is_no_response() -> None:
    client, _, _ = scripted(Response(200, {}, b"<html>Welcome</html>"), retries=0)
    with pytest.raises(NoResponse, match="not of the API"):
        client.get_endpoint()


@pytest.mark.parametrize(
    "detail",
    ['{"retry_after_ms": -5}', '{"retry_after_ms": 1' + "0" * 400 + "}", "[" * 100_000],
    ids=lambda text: text[:25],
)
def test_nonsense_in_an_error_is_an_error(detail: str) -> None:
    body = f'{{"error": "no", "detail": {detail}}}'.encode()
    client, _, waits = scripted(Response(429, {}, body), ENDPOINT)
    client.get_endpoint()
    assert 0 <= waits[0] <= 1


@contextmanager
def responding(response: bytes) -> Iterator[str]:
    """Something that responds so to one request: its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def respond() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(response)

        thread = threading.Thread(target=respond, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize("coding", ["", "Content-Encoding: gzip\r\n"])
def test_a_response_without_end_is_not_read_to_its_end(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BODY", 1000)
    body = b"x" * 1001
    body = gzip.compress(body) if coding else body
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{coding}\r\n".encode()
    with responding(head + body) as url, pytest.raises(NoResponse, match="more than 1000 bytes"):
        Client(url, app_id="a", api_key="k", retries=0).get_endpoint()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """It would take the API key to wherever it leads."""
    head = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n".encode()
    with responding(head) as url, pytest.raises(APIError) as raised:
        Client(url, app_id="a", api_key="k", retries=0).get_endpoint()
    assert raised.value.status == status


def test_nobody_there() -> None:
    client = Client("http://127.0.0.1:9", app_id="a", api_key="k", retries=0)
    with client, pytest.raises(NoResponse) as raised:
        client.get_endpoint()
    assert not raised.value.sent


# Pages


def pages(*cursors: str) -> Iterator[Response]:
    for number, cursor in enumerate(cursors):
        row = {
            "room_id": f"r{number}",
            "name": "n",
            "members": 0,
            "created_at": "2026-05-06T12:34:56Z",
            "tags": [],
            "recording": None,
        }
        rows = [] if cursor == "empty" else [row]
        yield Response(200, {}, json.dumps({"conferences": rows, "cursor": cursor}).encode())


def test_a_listing_goes_on_until_there_is_no_cursor() -> None:
    client, transport, _ = scripted(*pages("c 1", "empty", ""))
    assert [room.room_id for room in client.list_rooms(limit=1, name="n")] == ["r0", "r2"]
    assert [request.target for request in transport.asked] == [
        "/api/v1/conferences?limit=1&name=n",
        "/api/v1/conferences?limit=1&name=n&cursor=c+1",
        "/api/v1/conferences?limit=1&name=n&cursor=empty",
    ]


def test_a_listing_asks_only_for_what_is_used() -> None:
    client, transport, _ = scripted(*pages("c", ""))
    rooms = client.list_rooms()
    assert transport.asked == []
    assert next(iter(rooms)).room_id == "r0"
    assert len(transport.asked) == 1


def test_a_listing_can_begin_elsewhere_and_again() -> None:
    client, transport, _ = scripted(*pages("", ""))
    rooms = client.list_rooms(cursor="c")
    assert [room.room_id for room in rooms] == ["r0"]
    assert [room.room_id for room in rooms] == ["r1"]
    assert {request.target for request in transport.asked} == {"/api/v1/conferences?cursor=c"}


# What a later version may add


def test_what_is_not_known_is_no_error() -> None:
    client, _, _ = scripted(Response(202, {}, b'{"operation_id":"o","status":"fading","fade_ms":200}'))
    playback = client.stop("r")
    assert (playback.status, playback.model_extra) == ("fading", {"fade_ms": 200})


# Streams


class Streamed:
    """A transport whose streams give what it is told, one connection after the other."""

    def __init__(self, *connections: Response | NoResponse | list[bytes | NoResponse]) -> None:
        self.left = list(connections)
        self.asked: list[Request] = []
        self.closed = 0

    def stream(self, request: Request) -> Stream:
        self.asked.append(request)
        connection = self.left.pop(0)
        if isinstance(connection, NoResponse):
            raise connection
        if isinstance(connection, Response):
            return Stream(connection, iter(()), self._close)
        return Stream(Response(200), self._chunks(connection), self._close)

    def _chunks(self, connection: list[bytes | NoResponse]) -> Iterator[bytes]:
        for chunk in connection:
            if isinstance(chunk, NoResponse):
                raise chunk
            yield chunk

    def _close(self) -> None:
        self.closed += 1

    def send(self, request: Request) -> Response:
        raise NotImplementedError

    def close(self) -> None: ...


def frame(number: int, name: str = "conference.created", **more: Any) -> bytes:
    data = {"app_id": "demo", "sequence": number, "room_id": ROOM, "name": "Besprechung für é"}
    body = {"type": name, "timestamp": "2026-11-22T19:03:55.886Z", "data": data, **more}
    return f"id: p07-{number}\nevent: {name}\ndata: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


def streamed(*connections: Any) -> tuple[Client, Streamed, list[float]]:
    transport, waits = Streamed(*connections), []
    return Client("http://x", app_id="a", api_key="k", transport=transport, sleep=waits.append), transport, waits


def test_events_are_typed() -> None:
    client, transport, _ = streamed([b"retry: 100\nid: p07-0\n\n", frame(1, webhook_id="msg_1"), frame(2, "log.state")])
    events = client.events(room=[ROOM, ROOM], type=["conference.*", "log.state"])
    created, state = next(events), next(events)
    assert isinstance(created.data, webhooks.ConferenceCreated)
    assert (created.id, created.type, created.webhook_id, created.data.name) == (
        *("p07-1", "conference.created", "msg_1"),
        "Besprechung für é",
    )
    assert created.timestamp == datetime(2026, 11, 22, 19, 3, 55, 886_000, tzinfo=UTC)
    assert (state.type, state.webhook_id) == ("log.state", None)
    assert isinstance(state.data, dict)
    assert transport.asked[0].target == f"/api/v1/events?room={ROOM}%2C{ROOM}&type=conference.%2A%2Clog.state"
    events.close()
    assert transport.closed == 1


def test_a_stream_goes_on_where_it_was() -> None:
    client, transport, waits = streamed(
        [b"retry: 100\nid: p07-0\n\n", frame(1), frame(2)[:-1], NoResponse("reset", sent=True)],
        NoResponse("refused", sent=False),
        error(503, retry_after="3"),
        [frame(2), b"id: p07-9\n\n"],
        [frame(10)],
    )
    events = client.events()
    assert [next(events).id for _ in range(3)] == ["p07-1", "p07-2", "p07-10"]
    asked = [request.headers.get("Last-Event-ID") for request in transport.asked]
    assert asked == [None, "p07-1", "p07-1", "p07-1", "p07-9"]
    assert waits[-2:] == [3, 0.1]
    assert all(wait >= 0.1 for wait in waits)


def test_a_stream_in_pieces_of_any_size() -> None:
    whole = b": hello\r\n" + frame(1) + frame(2).replace(b"\n", b"\r\n")
    client, _, _ = streamed([whole[at : at + 1] for at in range(len(whole))])
    events = client.events(last_event_id="p07-0")
    assert [next(events).id for _ in range(2)] == ["p07-1", "p07-2"]


@pytest.mark.parametrize(
    "sent",
    [
        b"data: no JSON\n\n",
        b"data: [1]\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"timestamp": "never"}\n\n',
        b'data: {"data": "text"}\n\n',
        b'event: conference.created\ndata: {"data": {"name": "n"}}\n\n',
        # What would become a header of another request.
        b'data: {"webhook_id": "a\\r\\nX-Evil: 1"}\n\n',
        b'data: {"webhook_id": 5}\n\n',
        b"id: a\rX-Evil: 1\n\n",
        "id: \N{SNOWMAN}\n\n".encode(),
    ],
    ids=lambda sent: sent[:40].decode(),
)
def test_what_is_no_event_of_the_service_ends_the_stream(sent: bytes) -> None:
    client, _, _ = streamed([sent])
    with pytest.raises(NoResponse, match="not of the API"):
        next(client.events())


def test_an_event_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_EVENT", 10_000)
    client, _, _ = streamed([frame(1), *[b"data: 1\n"] * 900, b"\n", *[b"x"] * 10_001])
    stream = client.events()
    assert next(stream).id == "p07-1"
    with pytest.raises(NoResponse, match="not of the API"):
        next(stream)


@pytest.mark.parametrize("retry", [b"-1", b"9" * 5000, "\N{ARABIC-INDIC DIGIT FIVE}".encode()], ids=["-1", "9", "5"])
def test_a_time_to_come_back_after_that_is_none(retry: bytes) -> None:
    client, _, waits = streamed([b"retry: " + retry + b"\n\n"], [frame(1)])
    assert next(client.events()).id == "p07-1"
    assert waits == [2.0]


@pytest.mark.parametrize("status", [400, 401, 409])
def test_a_stream_that_is_refused(status: int) -> None:
    client, transport, _ = streamed(error(status, "no"))
    with pytest.raises(APIError) as raised:
        client.events()
    assert (raised.value.status, raised.value.code, transport.closed) == (status, "no", 1)


# The fake


def test_who_speaks_in_the_fake() -> None:
    service = fake.FakeSwitchroom()
    client, sessions = service.client(), [service.call(), service.call()]
    room = client.create_room("standup", speaker_events=True).room_id
    for session in sessions:
        client.join(session, room)
    for session in sessions:
        service.speak(session)
    assert [member.speaking for member in client.list_members(room)] == [True, True]
    service.speak(sessions[0], False)
    service.speak(sessions[1])
    told = [hook.data for hook in service.webhooks if isinstance(hook.data, webhooks.ConferenceSpeakerChanged)]
    assert [data.uuid for data in told] == sessions


def test_members_wait_for_a_moderator_in_the_fake() -> None:
    service = fake.FakeSwitchroom()
    client, first, second = service.client(), service.call(), service.call()
    room = client.create_room("standup", wait_for_moderator=True).room_id
    client.join(first, room)
    (member,) = client.list_members(room)
    assert (member.hold, member.waiting, client.get_room(room).begun) == (True, True, False)
    client.join(second, room, role="moderator")
    assert [(one.hold, one.waiting) for one in client.list_members(room)] == [(False, False)] * 2
    assert client.get_room(room).begun
    for session in (first, second):
        client.leave(session)
    assert not client.get_room(room).begun


def test_a_member_coaches_another_one_in_the_fake() -> None:
    service = fake.FakeSwitchroom()
    client, coach, coached = service.client(), service.call(), service.call()
    room = client.create_room("standup").room_id
    client.join(coach, room)
    with pytest.raises(Conflict) as raised:
        client.coach(coach, coached)
    assert raised.value.code == "coached_not_member"
    client.join(coached, room)
    assert client.coach(coach, coached, command_uid="c").status == "coaching"
    assert [member.coaching for member in client.list_members(room)] == [coached, None]
    service.advance(1)
    assert client.uncoach(coach).status == "uncoached"
    told = [hook.data for hook in service.webhooks if hook.data.model_dump().get("uuid") == coach][-2:]
    assert isinstance(told[0], webhooks.ConferenceMemberCoaching)
    assert (told[0].coaching, told[0].command_uid) == (coached, "c")
    assert isinstance(told[1], webhooks.ConferenceMemberUncoached)
    assert client.get_session(coach).coaching is None


def test_the_fake_serves_every_operation() -> None:
    patterns = {(method, re.sub(r"\(\[\^/\]\+\)", "{}", pattern)) for method, pattern, *_ in fake.ROUTES}
    for flags in [pattern for _, pattern in patterns if "|" in pattern]:
        patterns.remove(("POST", flags))
        prefix, verbs, suffix = re.split("[()]", flags)
        patterns |= {("POST", prefix + verb + suffix) for verb in verbs.split("|")}
    served = {
        (method.upper(), re.sub(r"{\w+}", "{}", path.removeprefix("/api/v1")))
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/") and operation["operationId"] not in STREAMS
    }
    assert patterns == served


@pytest.mark.parametrize("code", fake.ERRORS)
def test_the_fake_s_errors_are_those_of_the_service(code: str) -> None:
    status, text = fake.ERRORS[code]
    if code in REASONS:
        assert (status, text) == (errors.STATUS[code], REASONS[code])
    elif code != "not_ready":
        assert code == errors.CODES[status]
        assert text == errors.TITLES[status]


# Anywhere


def test_it_works_without_gevent_and_the_rest_of_the_program() -> None:
    code = (
        "import sys; from switchroom.client.fake import FakeSwitchroom; fake = FakeSwitchroom();"
        "fake.client().create_room('standup');"
        "print([name for name in ('gevent', 'flask', 'controller', 'web', 'esl', 'redis') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"
