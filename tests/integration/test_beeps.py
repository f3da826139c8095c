"""Beeps when members come and go, as the store's scripts see it."""

from __future__ import annotations

from typing import Any

import pytest

from controller.store import keys
from tests.integration.world import World


@pytest.fixture
def room(world: World) -> str:
    room = world.create()
    world.ask("change_room", room_id=room, options={"beep_enter": "tone", "beep_exit": "tone"})
    return room


def later(world: World, room: str) -> None:
    """As if the last beep had been a while ago."""
    world.store.client.hdel(keys.key(world.tag, "room", room), "beeped_at")


def join(world: World, room: str, number: int, **more: Any) -> str:
    session = world.park(number)
    world.ask("join", **{"flags": [], **more}, session_id=session, room_id=room)
    for command in world.sent():
        world.answer(command["job"])
    world.tell("member_joined", session_id=session, room_id=room, member_id=number, flags=[])
    return session


def beeps(world: World, room: str) -> list[str]:
    sent = world.sent()
    for command in sent:
        # Nothing follows from it, whatever becomes of it.
        world.answer(command["job"], ok=False, reason="no_members")
    later(world, room)
    return [f"beep_{command['which']}" for command in sent if command["op"] == "beep"]


def test_one_for_each_who_comes_and_goes(world: World, room: str) -> None:
    first = join(world, room, 1)
    assert beeps(world, room) == ["beep_enter"]
    second = join(world, room, 2)
    assert beeps(world, room) == ["beep_enter"]
    world.left(first, room, 1)
    assert beeps(world, room) == ["beep_exit"]
    world.left(second, room, 2)
    assert beeps(world, room) == [], "nobody would hear it"
    assert "conference.command.failed" not in world.types()


def test_those_who_come_at_once_are_one(world: World, room: str) -> None:
    sessions = [world.park(number) for number in range(1, 6)]
    for number, session in enumerate(sessions, 1):
        world.ask("join", session_id=session, room_id=room, flags=[])
        world.tell("member_joined", session_id=session, room_id=room, member_id=number, flags=[])
    assert beeps(world, room) == ["beep_enter"]


def test_none_unless_the_room_says_so(world: World) -> None:
    room = world.create()
    join(world, room, 1)
    world.left(join(world, room, 2), room, 2)
    assert beeps(world, room) == []


def test_none_for_what_a_comparison_finds(world: World, room: str) -> None:
    join(world, room, 1)
    beeps(world, room)
    session = world.park(2)
    about = {"session_id": session, "room_id": room, "member_id": 2, "resynced": True}
    world.tell("member_joined", **about, flags=[])
    world.tell("member_left", **about, cause="")
    assert beeps(world, room) == []


def test_one_who_waits_for_a_moderator_is_told_when_it_is_let_in(world: World, room: str) -> None:
    world.ask("change_room", room_id=room, options={"wait_for_moderator": True})
    session, gone = join(world, room, 1), join(world, room, 2)
    world.left(gone, room, 2)
    assert beeps(world, room) == []
    join(world, room, 3, role="moderator")
    assert beeps(world, room) == ["beep_enter"]
    world.tell("flag_changed", session_id=session, room_id=room, member_id=1, flag="hold", on=True)
    beeps(world, room)
    world.tell("flag_changed", session_id=session, room_id=room, member_id=1, flag="hold", on=False)
    assert beeps(world, room) == ["beep_enter"]
