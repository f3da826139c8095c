"""Whatever a client sends: never a 5xx, always the envelope, and nothing but valid commands for the controller."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, TestResponse

from controller import commands
from controller.commands import Command
from controller.ids import SESSION_ID
from tests.unit.web_fakes import HEADERS, MISSING_ROOM, ROOM, SESSION, WEBHOOK, FakeController, FakeStreams
from web.app import create_app

_controller = FakeController()
_app = create_app(_controller, FakeStreams())

ROOM_FORM = re.compile(
    r"[A-Za-z0-9]{5}-room-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII
)
MUTE = f"/api/v1/sessions/{SESSION}/commands/conference/mute"
PATHS = [
    f"/api/v1/{path}"
    for path in (
        "conferences",
        f"conferences/{ROOM}",
        f"conferences/{ROOM}/members",
        f"conferences/{ROOM}/play",
        f"conferences/{ROOM}/pause",
        f"conferences/{ROOM}/stop",
        f"conferences/{ROOM}/volume",
        "sessions",
        f"sessions/{SESSION}",
        f"sessions/{SESSION}/commands/play",
        f"sessions/{SESSION}/commands/stop",
        f"sessions/{SESSION}/commands/conference/join",
        f"sessions/{SESSION}/commands/conference/leave",
        f"sessions/{SESSION}/commands/conference/mute",
        f"sessions/{SESSION}/commands/conference/unmute",
        "webhooks/endpoint",
        "webhooks/endpoint/test",
        "webhooks/redeliver",
        "webhooks/deliveries",
        f"webhooks/deliveries/{WEBHOOK}",
        f"webhooks/deliveries/{WEBHOOK}/redeliver",
    )
]
METHODS = st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"])

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=20), children, max_size=4),
    max_leaves=12,
)
# Near to what is right, so that fuzzing gets past the first check.
almost = st.dictionaries(
    st.sampled_from(
        ["name", "urls", "url", "types", "since", "volume", "room_id", "command_uid", "Name", "", "volume "]
    ),
    st.one_of(
        anything,
        st.sampled_from([ROOM, MISSING_ROOM, ROOM + "\n", "standup", "a\n", 2, -50, 7, 8, "2", True, 2.0]),
        st.lists(
            st.sampled_from(["https://a.example/x.wav", "http://[::1", "https://é.example/ü y'.wav", "http://a\n", ""])
            | st.text(max_size=60).map(lambda rest: f"https://a.example/{rest}"),
            max_size=130,
        ),
        st.text(max_size=70),
    ),
    max_size=3,
)
bodies = st.one_of(
    almost.map(lambda value: json.dumps(value).encode()),
    anything.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
header_values = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=300)
CONTENT_TYPES = [
    "application/json",
    "application/json; charset=utf-16",
    "application/json;",
    "text/plain",
    "",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
]
PAGES = ["conferences", f"conferences/{ROOM}/members", "sessions", "webhooks/deliveries"]


def ask(method: str, path: str, **options: Any) -> TestResponse:
    _controller.reset()
    headers = options.pop("headers", HEADERS)
    request = EnvironBuilder(method=method, headers=headers, **options)
    request.path = path  # as it is: given to the builder, "//[" would be the beginning of a host
    return _app.test_client().open(request)


def assert_sound(response: TestResponse) -> None:
    assert response.status_code < 500
    assert response.headers["X-Request-ID"]
    if response.status_code == 204 or response.request.method == "HEAD":
        assert response.data == b""
        return
    assert response.content_type == "application/json"
    body = json.loads(response.data)
    if response.status_code >= 400:
        assert body["success"] is False
        assert isinstance(body["error"], str)
        assert set(body) <= {"success", "error", "detail"}
        # Said where nobody has thought of how a request can be wrong.
        assert "is invalid" not in response.text
    else:
        assert "success" not in body
    for asked in _controller.asked:
        assert_valid(asked)


def assert_valid(command: Command) -> None:
    """What the controller takes as given."""
    match command:
        case commands.CreateRoom(name=name):
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name, re.ASCII)
        case commands.Play(urls=urls):
            assert 1 <= len(urls) <= 128
            assert all(re.fullmatch(r"https?://[\x21-\x7e]+", url) and len(url) <= 2048 for url in urls)
        case commands.SetFlagOfAll(exclude=exclude) | commands.KickAll(exclude=exclude):
            assert len(exclude) <= 100
            assert all(SESSION_ID.fullmatch(session) for session in exclude)
        case commands.SetVolume(volume=volume):
            assert type(volume) is int
            assert -50 <= volume <= 7
        case commands.ListRooms(limit=limit, after=after):
            assert 1 <= limit <= 200
            assert after == 0
        case commands.ListMembers(limit=limit, after=after) | commands.ListSessions(limit=limit, after=after):
            assert 1 <= limit <= 1000
            assert after == 0
    if isinstance(command, commands.SessionCommand) and command.command_uid is not None:
        assert 1 <= len(command.command_uid) <= 64
        assert command.command_uid.isprintable()
    room_id = getattr(command, "room_id", ROOM)
    assert ROOM_FORM.fullmatch(room_id)


@settings(max_examples=1000, deadline=None)
@given(
    method=METHODS,
    path=st.sampled_from(PATHS),
    data=bodies,
    content_type=st.sampled_from(["application/json"] * 6 + CONTENT_TYPES),
)
def test_any_body(method: str, path: str, data: bytes, content_type: str) -> None:
    assert_sound(ask(method, path, data=data, content_type=content_type))


@settings(max_examples=300, deadline=None)
@given(method=METHODS, rest=st.text(max_size=100), start=st.sampled_from(["/", "/api/v1/", *PATHS]))
def test_any_path(method: str, rest: str, start: str) -> None:
    path = start + rest.encode("utf-8", "replace").decode()
    response = ask(method, path.replace("?", "").replace("#", "") or "/")
    if response.content_type != "text/html; charset=utf-8":
        assert_sound(response)


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from(PAGES),
    limit=st.none() | st.text(max_size=20) | st.integers().map(str),
    cursor=st.none() | st.text(max_size=40) | st.text("ABCabc019_-=", min_size=32, max_size=32),
    more=st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3),
)
def test_any_query(path: str, limit: str | None, cursor: str | None, more: dict[str, str]) -> None:
    pairs = [*more.items(), *((name, value) for name, value in (("limit", limit), ("cursor", cursor)) if value)]
    query = {name: value.encode("utf-8", "replace").decode() for name, value in pairs}
    assert_sound(ask("GET", f"/api/v1/{path}", query_string=query))


@settings(max_examples=300, deadline=None)
@given(app_id=header_values, key=header_values, request_id=header_values, accept=header_values)
def test_any_headers(app_id: str, key: str, request_id: str, accept: str) -> None:
    headers = {"X-App-ID": app_id, "X-API-Key": key, "X-Request-ID": request_id, "Accept": accept}
    response = ask("POST", MUTE, headers=headers)
    assert response.status_code in (401, 429)
    assert_sound(response)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", response.headers["X-Request-ID"], re.ASCII)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_change_to_a_cursor(data: st.DataObject) -> None:
    path = "/api/v1/sessions"
    cursor = ask("GET", path).get_json()["cursor"]
    place = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != cursor[place]))
    changed = cursor[:place] + other + cursor[place + 1 :]
    assert ask("GET", path, query_string={"cursor": changed}).status_code == 400
    assert ask("GET", path, query_string={"cursor": cursor}).status_code == 200
