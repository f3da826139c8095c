"""Digits that an app collects of a caller, until they are enough, end, do not come, or the call does."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller.commands import CollectDigits
from controller.store import keys
from tests.integration.test_dtmf_received import ask_for, press
from tests.integration.world import NODE, World


def collect(world: World, session: str, **more: Any) -> dict[str, Any]:
    asked = CollectDigits(
        app_id=world.app_id,
        session_id=session,
        **{"max_digits": 4, "terminators": "#*", "timeout": 600, "digit_timeout": 60, **more},
    )
    return world.ask("collect_digits", **asked.arguments())


def collected(world: World) -> list[tuple[Any, ...]]:
    told = world.webhooks()
    assert {kind for kind, _ in told} <= {"session.digits.collected"}
    return [(data["digits"], data["reason"], data.get("terminator"), data.get("command_uid")) for _, data in told]


def waits_for(world: World, session: str) -> float:
    """Seconds until the digit that is waited for is overdue, about."""
    return round((world.due(NODE, f"digits:{session}") - world.now()) / 1000, -1)


@pytest.fixture
def session(world: World) -> str:
    session = world.park()
    world.webhooks()
    return session


def test_as_many_as_are_wanted(world: World, session: str) -> None:
    assert collect(world, session, command_uid="pin") == {"status": "collecting"}
    for digit in "471":
        press(world, session, digit)
    assert world.webhooks() == []
    press(world, session, "1")
    assert collected(world) == [("4711", "max_digits", None, "pin")]
    press(world, session, "2")
    assert world.webhooks() == []
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))


@pytest.mark.parametrize("terminator", "#*")
def test_a_terminator(world: World, session: str, terminator: str) -> None:
    collect(world, session)
    for digit in ("1", "2", terminator):
        press(world, session, digit)
    assert collected(world) == [("12", "terminator", terminator, None)]
    collect(world, session, terminators="")
    for digit in "1#*2":
        press(world, session, digit)
    assert collected(world) == [("1#*2", "max_digits", None, None)]


def test_no_digit_comes_in_time(world: World, session: str) -> None:
    collect(world, session)
    assert waits_for(world, session) == 600
    press(world, session, "1")
    assert waits_for(world, session) == 60
    press(world, session, "2")
    world.overdue()
    assert collected(world) == [("12", "timeout", None, None)]
    collect(world, session)
    world.overdue()
    assert collected(world) == [("", "timeout", None, None)]


def test_it_does_not_make_the_node_late(world: World, session: str) -> None:
    """A caller who takes his time is no event that was lost."""
    collect(world, session, timeout=1)
    up = {NODE: {"open": True, "reached": True}}
    assert not world.tell("overdue", node=NODE, up=up).get("late")


def test_a_call_that_ends(world: World, session: str) -> None:
    collect(world, session, command_uid="pin")
    press(world, session, "1")
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    (told, ended) = world.webhooks()
    assert (told[0], told[1]["digits"], told[1]["reason"], told[1]["command_uid"]) == (
        *("session.digits.collected", "1"),
        *("hangup", "pin"),
    )
    assert ended[0] == "session.ended"
    world.overdue()
    assert world.webhooks() == []


def test_another_one_takes_its_place(world: World, session: str) -> None:
    collect(world, session, command_uid="a")
    press(world, session, "1")
    collect(world, session, command_uid="b", max_digits=1)
    assert collected(world) == [("1", "cancelled", None, "a")]
    press(world, session, "2")
    assert collected(world) == [("2", "max_digits", None, "b")]


def test_a_repeat_does_not(world: World, session: str) -> None:
    collect(world, session, command_uid="a")
    press(world, session, "1")
    assert collect(world, session, command_uid="a") == {"status": "collecting"}
    assert collect(world, session, command_uid="a", max_digits=2)["refused"] == "command_uid_taken"
    press(world, session, "#")
    assert collected(world) == [("1", "terminator", "#", "a")]


def test_an_event_that_is_handed_over_again_counts_once(world: World, session: str) -> None:
    collect(world, session)
    for number in (7, 7, 8, 7, 8):
        press(world, session, "5", number=number)
    press(world, session, "#", number=9)
    assert collected(world) == [("55", "terminator", "#", None)]


def test_a_member_who_joins_meanwhile(world: World) -> None:
    session, room = world.park(), world.create()
    collect(world, session)
    press(world, session, "1")
    world.ask("join", session_id=session, room_id=room)
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted"])
    world.webhooks()
    press(world, session, "#")
    assert collected(world) == [("1", "terminator", "#", None)]


def test_each_is_told_besides_if_the_app_asks(world: World, session: str) -> None:
    ask_for(world, "*", "session.dtmf")
    collect(world, session)
    press(world, session, "1")
    press(world, session, "#")
    assert world.types() == ["session.dtmf", "session.dtmf", "session.digits.collected"]


def test_what_keeps_it_back(world: World, session: str) -> None:
    world.nodes[NODE]["up"] = False
    assert collect(world, session)["refused"] == "node_down"
    world.nodes[NODE]["up"] = True
    assert collect(World(world.store, "other"), session)["refused"] in ("session_not_found", "session_forbidden")
    press(world, session, "1")
    assert world.webhooks() == []


def test_the_event_log_has_who_asked_and_no_digits(world: World, session: str) -> None:
    world.ask(
        "collect_digits",
        session_id=session,
        actor="carol",
        max_digits=8,
        terminators="",
        timeout_ms=1,
        digit_timeout_ms=1,
    )
    for digit in "47114711":
        press(world, session, digit)
    assert collected(world) == [("47114711", "max_digits", None, None)]
    log = world.store.client.xrange(keys.key(world.tag, "log"))
    lines = [orjson.loads(fields[b"e"]) for _, fields in log]
    assert [(line["kind"], line["type"]) for line in lines if line.get("actor") == "carol"] == [
        ("command", "collect_digits"),
        ("webhook", "session.digits.collected"),
    ]
    assert b"4711" not in b"".join(value for _, fields in log for value in fields.values())
    assert orjson.loads(log[-1][1][b"d"])["digits"] == ""
