"""The console from outside: a tenant opens its portal, looks at a room, acts in it, and is cut to its own."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from switchroom.client.events import Reader
from tests.e2e.nodes import REAL, EmulatedCall
from tests.e2e.site import until
from tests.e2e.system import Receiver, Switchroom

Dial = Callable[..., tuple[str, Any]]
HOSTILE = '"><img src=x onerror=alert(1)>'


class Browser:
    """One that is logged in by a link, as the console's page is."""

    def __init__(self, service: Switchroom, *command: str) -> None:
        made = subprocess.run(
            [sys.executable, "-m", "switchroom", *command, "--json", "--config", str(service.config)],
            capture_output=True,
            text=True,
            check=True,
            cwd=service.folder,
        )
        self._port = service.port
        self.link = json.loads(made.stdout)["url"].partition("#link=")[2]
        self._headers = {"Origin": f"http://127.0.0.1:{self._port}"}
        response = self.open("POST", "/console/api/open", {"token": self.link})
        assert response.status == 200
        self._headers["Cookie"] = (response.getheader("Set-Cookie") or "").partition(";")[0]
        self.me = json.loads(response.read())
        self._headers["X-CSRF-Token"] = self.me["csrf"]

    def open(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**self._headers, **named, "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        return connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None, app: str = "alpha") -> tuple[int, Any]:
        response = self.open(method, path, body, X_App_ID=app)
        return response.status, json.loads(response.read())


@pytest.fixture
def portal(room_service: Switchroom) -> Browser:
    return Browser(room_service, "app", "portal-link", "alpha")


def test_a_tenant_looks_at_its_room_and_acts_in_it(
    portal: Browser,
    dial: Dial,
    join: Callable[[str, str], Any],
    new_room: Callable[[], str],
    hooks: Receiver,
) -> None:
    session, call = dial()
    room = new_room()
    join(session, room)
    assert portal.ask("POST", f"/api/v1/sessions/{session}/commands/conference/unmute")[0] == 202
    hooks.wait("conference.member.unmuted", uuid=session)
    entries = portal.ask("GET", f"/console/api/log?room={room}")[1]["entries"]
    assert {entry["actor"] for entry in entries if entry.get("type") == "unmute"} == {"portal"}
    assert {entry.get("app") for entry in entries} == {"alpha"}
    stream = portal.open("GET", f"/api/v1/events?room={room}", X_App_ID="alpha")
    notices = (event.data for event in Reader().events(iter(stream.readline, b"")) if event.type == "speaking")
    with gevent.Timeout(30, AssertionError("nobody speaks")):
        told = next(notices)
        if isinstance(call, EmulatedCall):  # The others speak from the beginning.
            assert told == {"app_id": "alpha", "room_id": room, "sessions": []}
            call.talk()
        while not told["sessions"]:
            told = next(notices)
    assert told == {"app_id": "alpha", "room_id": room, "sessions": [session]}


def test_a_portal_is_cut_to_its_app(portal: Browser, room_service: Switchroom) -> None:
    foreign = room_service.post("/api/v1/conferences", {"name": "of-beta"}, app="beta").body["room_id"]
    assert portal.ask("GET", f"/api/v1/conferences/{foreign}", app="beta")[0] == 403
    assert portal.ask("GET", f"/api/v1/conferences/{foreign}")[0] == 403
    assert portal.ask("GET", "/console/api/overview")[0] == 403
    room_service.request("DELETE", f"/api/v1/conferences/{foreign}", app="beta")


@pytest.mark.skipif(bool(REAL), reason="SIPp's scenario takes no such name")
def test_what_a_caller_claims_to_be_comes_as_text(portal: Browser, node: Any, hooks: Receiver) -> None:
    """In JSON, which no browser takes for a page."""
    call = node.call("747713001", HOSTILE)
    found = hooks.wait("session.started", caller_id=HOSTILE)
    response = portal.open("GET", f"/api/v1/sessions/{found['uuid']}", X_App_ID="alpha")
    assert response.getheader("Content-Type") == "application/json"
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert json.loads(response.read())["caller_id"] == HOSTILE
    call.hang_up()


def test_no_token_is_in_a_log(portal: Browser, room_service: Switchroom) -> None:
    def logged() -> str:
        return (room_service.folder / "log").read_text()

    # A request is logged when it has been answered.
    until(lambda: "/console/api/open" in logged() and "portal:alpha" in logged())
    assert portal.link not in logged()
    assert portal.me["csrf"] not in logged()
