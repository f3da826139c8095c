"""Digits that callers press reach the app that asks for them: against the emulator, or a real FreeSWITCH."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from tests.e2e.nodes import REAL, EmulatedCall, Node
from tests.e2e.phone import Phone
from tests.e2e.system import DIDS, Receiver, Switchroom
from tests.e2e.test_events import EVENTS, Stream

ENDPOINT = "/api/v1/webhooks/endpoint"
Caller = EmulatedCall | Phone
Call = Callable[[], tuple[str, Caller]]


@pytest.fixture
def caller(node: Node, hooks: Receiver, unique: str) -> Iterator[Call]:
    """A call with keys to press: the session's id and the call."""
    callers: list[Caller] = []

    def place() -> tuple[str, Caller]:
        caller_id = f"5272{unique[1:]}{len(callers)}"
        if REAL:
            one: Caller = Phone(node.sip, DIDS["alpha"], caller_id)
        else:
            one = node.call(DIDS["alpha"], caller_id)  # type: ignore[assignment]
        callers.append(one)
        return str(hooks.wait("session.started", caller_id=caller_id)["uuid"]), one

    yield place
    for one in callers:
        one.hang_up()


@pytest.fixture
def asks(room_service: Switchroom, hooks: Receiver) -> Iterator[Callable[..., None]]:
    """Sets which webhooks alpha wants."""

    def ask(*types: str) -> None:
        answer = room_service.request("PUT", ENDPOINT, {"url": hooks.url, "types": list(types)})
        assert answer.status == 200, answer

    yield ask
    ask("*")


def pressed(hooks: Receiver, session: str) -> list[dict[str, Any]]:
    return [hook["data"] for hook in hooks.of(uuid=session) if hook["type"] == "session.dtmf"]


def wait_pressed(hooks: Receiver, session: str, count: int) -> list[dict[str, Any]]:
    with gevent.Timeout(15):
        while len(pressed(hooks, session)) < count:
            gevent.sleep(0.02)
    return pressed(hooks, session)


def test_digits_of_a_caller_in_their_order_parked_and_in_a_room(
    hooks: Receiver, room_service: Switchroom, caller: Call, asks: Any, new_room: Any, join: Any
) -> None:
    asks("*", "session.dtmf")
    session, call = caller()
    for key in "4711#":
        call.press(key)
    told = wait_pressed(hooks, session, 5)
    assert "".join(one["digit"] for one in told) == "4711#"
    assert all(100 <= one["duration_ms"] <= 200 and "in_room" not in one for one in told)
    room = new_room()
    join(session, room)
    for key in "*00":
        call.press(key)
    told = wait_pressed(hooks, session, 8)
    assert [(one["digit"], one.get("in_room")) for one in told[5:]] == [("*", room), ("0", room), ("0", room)]
    assert [one["sequence"] for one in told] == list(range(2, 10))
    call.hang_up()
    assert hooks.wait("session.ended", uuid=session)["sequence"] == 10
    assert hooks.problems == []


def test_nobody_gets_them_who_does_not_name_them(hooks: Receiver, caller: Call, asks: Any) -> None:
    session, call = caller()
    for types in (["*"], ["session.*"]):
        asks(*types)
        call.press("7")
    call.hang_up()
    # All webhooks of the session have come by then.
    assert hooks.wait("session.ended", uuid=session)["sequence"] == 2
    assert pressed(hooks, session) == []


def test_a_stream_knows_that_a_key_was_pressed_and_not_which(
    hooks: Receiver, room_service: Switchroom, caller: Call, asks: Any
) -> None:
    asks("*", "session.dtmf")
    session, call = caller()
    stream = Stream(room_service.port, f"{EVENTS}?type=session.dtmf,session.ended")
    call.press("#")
    (told,) = wait_pressed(hooks, session, 1)
    assert told["digit"] == "#"
    call.hang_up()
    seen = [event["data"] for event in stream.take(2)]
    stream.close()
    assert seen[0] == {**told, "digit": ""}
    assert seen[1]["uuid"] == session


def command(session: str, name: str) -> str:
    return f"/api/v1/sessions/{session}/commands/{name}"


def test_digits_are_collected(
    hooks: Receiver, room_service: Switchroom, caller: Call, new_room: Any, join: Any
) -> None:
    session, call = caller()
    asked = room_service.post(command(session, "collect-digits"), {"max_digits": 4, "timeout": 600, "command_uid": "a"})
    assert (asked.status, asked.body) == (202, {"uuid": session, "status": "collecting"})
    for key in "471":
        call.press(key)
    # It goes on in a room.
    join(session, new_room())
    call.press("1")
    told = hooks.wait("session.digits.collected", uuid=session)
    assert (told["digits"], told["reason"], told["command_uid"]) == ("4711", "max_digits", "a")
    room_service.post(command(session, "collect-digits"), {"terminators": "*", "timeout": 600, "digit_timeout": 60})
    for key in "98#*7":
        call.press(key)
    told = hooks.wait("session.digits.collected", uuid=session, reason="terminator")
    assert (told["digits"], told["terminator"]) == ("98#", "*")
    assert pressed(hooks, session) == []
    # Not as part of a time or an id.
    assert not re.search(r"(?<![0-9a-f-])4711(?![0-9a-f-])", (room_service.folder / "log").read_text())


def test_digits_that_do_not_come(hooks: Receiver, room_service: Switchroom, caller: Call) -> None:
    session, call = caller()
    path = command(session, "collect-digits")
    room_service.post(path, {"timeout": 1, "command_uid": f"none-{session}"})
    told = hooks.wait("session.digits.collected", uuid=session)
    assert (told["digits"], told["reason"], told["command_uid"]) == ("", "timeout", f"none-{session}")
    room_service.post(path, {"timeout": 600, "command_uid": f"first-{session}"})
    room_service.post(path, {"timeout": 600, "command_uid": f"second-{session}"})
    assert hooks.wait("session.digits.collected", uuid=session, reason="cancelled")["command_uid"] == f"first-{session}"
    call.hang_up()
    told = hooks.wait("session.digits.collected", uuid=session, reason="hangup")
    assert told["command_uid"] == f"second-{session}"
    assert hooks.wait("session.ended", uuid=session)["sequence"] == told["sequence"] + 1
