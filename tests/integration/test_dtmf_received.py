"""Digits that callers press, from the node's event to the webhook of an app that asks for them."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from controller.signing import fingerprint
from controller.store import keys
from tests.integration.world import World

CONFIGURED = fingerprint("https://app.example.com/hooks")
_numbers = itertools.count(100)


def ask_for(world: World, *types: str, url_base: str = CONFIGURED) -> None:
    """As the API sets an endpoint's types."""
    endpoint = {"url": "https://app.example.com/v2", "types": orjson.dumps(types), "url_base": url_base}
    world.store.client.hset(keys.key(world.tag, "endpoint", world.app_id), mapping=endpoint)


def press(world: World, session: str, digit: str, **more: Any) -> dict[str, Any]:
    args = {"duration_ms": 100, "number": next(_numbers), "url_base": CONFIGURED, **more}
    return world.tell("digit_pressed", session_id=session, digit=digit, **args)


def test_a_parked_call(world: World) -> None:
    ask_for(world, "*", "session.dtmf")
    session = world.park()
    world.webhooks()
    for digit in "12#":
        press(world, session, digit)
    told = world.webhooks()
    assert [(kind, data["digit"], data["duration_ms"]) for kind, data in told] == [
        ("session.dtmf", digit, 100) for digit in "12#"
    ]
    assert [data["sequence"] for _, data in told] == [2, 3, 4]
    assert not [data for _, data in told if "in_room" in data]


def test_a_member_and_one_on_its_way(world: World) -> None:
    ask_for(world, "session.dtmf")
    room = world.create()
    joining, joined = world.park(1), world.joined(room, 2)
    world.ask("join", session_id=joining, room_id=room)
    world.webhooks()
    press(world, joining, "1")
    press(world, joined, "2")
    assert [(data["digit"], data.get("in_room")) for _, data in world.webhooks()] == [("1", None), ("2", room)]


@pytest.mark.parametrize("types", [["*"], ["session.*"], ["session.dtmf.*"], ["session.dtmf.sent"]])
def test_an_app_that_does_not_name_them(world: World, types: list[str]) -> None:
    ask_for(world, *types)
    session = world.park()
    world.webhooks()
    press(world, session, "1")
    assert world.webhooks() == []


def test_an_app_that_has_set_nothing_or_whose_url_was_configured_anew(world: World) -> None:
    session = world.park()
    world.webhooks()
    press(world, session, "1")
    ask_for(world, "session.dtmf", url_base=fingerprint("https://old.example.com/"))
    press(world, session, "2")
    assert world.webhooks() == []


def test_one_that_presses_on_and_on_is_told_only_so_often(world: World) -> None:
    ask_for(world, "session.dtmf")
    session, other = world.park(1), world.park(2)
    world.webhooks()
    told = [press(world, session, "1")["told"] for _ in range(300)]
    # As many as there are at once, and those that became due meanwhile.
    assert told[:50] == [True] * 50
    assert told.count(True) < 150
    assert press(world, other, "1")["told"] is True
    # As it is an hour later.
    world.store.client.hset(keys.key(world.tag, "session", session), "digits_until", 1)
    assert press(world, session, "1")["told"] is True
    # What is collected counts all the same.
    world.store.client.hset(keys.key(world.tag, "session", session), "digits_until", 2**53)
    world.ask(
        "collect_digits", session_id=session, max_digits=2, terminators="#", timeout_ms=9000, digit_timeout_ms=9000
    )
    world.webhooks()
    press(world, session, "1")
    press(world, session, "2")
    ((kind, data),) = world.webhooks()
    assert (kind, data["digits"]) == ("session.digits.collected", "12")


def test_an_event_that_is_handed_over_again_counts_once(world: World) -> None:
    ask_for(world, "session.dtmf")
    session = world.park()
    world.webhooks()
    for number in (7, 7, 9, 7, 9, 10):
        press(world, session, "5", number=number)
    assert len(world.webhooks()) == 3


def test_undelivered_webhooks_leave_room_for_others(world: World) -> None:
    """A caller may press keys as long and as fast as it likes. What is collected has its own end."""
    ask_for(world, "session.dtmf")
    session = world.park()
    waits = {"timeout_ms": 600_000, "digit_timeout_ms": 60_000}
    world.ask("collect_digits", session_id=session, max_digits=4, terminators="#", **waits)
    world.webhooks()
    for digit in "12#":
        press(world, session, digit, quotas={"webhook_bytes": 100})
    ((kind, data),) = world.webhooks()
    assert (kind, data["digits"]) == ("session.digits.collected", "12")


def test_a_call_that_is_not_known(world: World) -> None:
    ask_for(world, "session.dtmf")
    assert press(world, "acW68-nobody", "1") == {"unknown": True}


def test_another_app_s_wish_is_its_own(world: World) -> None:
    other = World(world.store, "other")
    ask_for(other, "session.dtmf")
    session = world.park()
    world.webhooks()
    press(world, session, "1")
    assert world.webhooks() == []


def test_the_event_log_does_not_say_which(world: World) -> None:
    ask_for(world, "session.dtmf")
    session = world.park()
    press(world, session, "#")
    log = world.store.client.xrange(keys.key(world.tag, "log"))
    lines = [orjson.loads(fields[b"e"]) for _, fields in log]
    assert [(line["kind"], line["type"]) for line in lines][-2:] == [("event", "dtmf"), ("webhook", "session.dtmf")]
    logged = orjson.loads(log[-1][1][b"d"])
    assert logged["duration_ms"] == 100
    assert b"#" not in b"".join(value for _, fields in log for value in fields.values())
