"""Beeps when members come and go, as the store's scripts see it."""

from __future__ import annotations

from typing import Any

import pytest

from controller.commands import ChangeRoom, CreateRoom
from controller.controller import Controller
from controller.errors import Refused
from controller.registry import Registry
from controller.rooms.placement import Placement
from controller.store import keys
from tests.integration.world import World
from tests.open_store import OpenStore


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


def again(world: World, room: str) -> None:
    """Another comes, a while after the last."""
    later(world, room)
    join(world, room, world.room(room)["members"] + 1)


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


FILE = "https://cdn.example.com/gong.wav"


@pytest.fixture
def gong(world: World) -> str:
    room = world.create()
    world.ask("change_room", room_id=room, options={"beep_enter": FILE, "beep_exit": "tone"})
    join(world, room, 1)
    world.webhooks()
    return room


def the_beep(world: World) -> dict[str, Any]:
    (command,) = world.sent()
    assert command["op"] == "beep"
    return command


def told(world: World) -> list[tuple[str, str]]:
    failed = [data for kind, data in world.webhooks() if kind == "conference.command.failed"]
    return [(data["command"], data["reason"]) for data in failed]


def test_while_a_file_is_fetched_there_is_no_other_beep(world: World, gong: str) -> None:
    command = the_beep(world)
    assert (command["which"], command["url"]) == ("enter", FILE)
    world.left(join(world, gong, 2), gong, 2)
    assert world.sent() == []
    world.answer(command["job"])
    later(world, gong)
    world.left(join(world, gong, 3), gong, 3)
    (command,) = (each for each in world.sent() if each["op"] == "beep")
    world.answer(command["job"])
    assert told(world) == []


def test_a_file_that_cannot_be_had_is_a_tone_and_told_once(world: World, gong: str) -> None:
    for reason, expected in (
        ("not_found", [("beep_enter", "not_found")]),
        ("not_found", []),
        ("relay_lost", [("beep_enter", "unplayable")]),
    ):
        world.answer(the_beep(world)["job"], ok=False, reason=reason)
        assert told(world) == expected
        tone = the_beep(world)
        assert (tone["which"], tone.get("url")) == ("enter", None)
        world.answer(tone["job"])
        again(world, gong)
    # Heard, and then not.
    world.answer(the_beep(world)["job"])
    again(world, gong)
    world.answer(the_beep(world)["job"], ok=False, reason="unplayable")
    assert told(world) == [("beep_enter", "unplayable")]


def test_another_file_is_told_of_anew(world: World, gong: str) -> None:
    world.answer(the_beep(world)["job"], ok=False, reason="timeout")
    the_beep(world)
    world.webhooks()
    world.ask("change_room", room_id=gong, options={"beep_enter": f"{FILE}?2"})
    again(world, gong)
    # By now it is another one, or none: nobody expects what was asked for before.
    command = the_beep(world)
    world.ask("change_room", room_id=gong, options={"beep_enter": FILE})
    world.answer(command["job"], ok=False, reason="timeout")
    assert (world.sent(), told(world)) == ([], [])
    again(world, gong)
    world.answer(the_beep(world)["job"], ok=False, reason="timeout")
    assert told(world) == [("beep_enter", "timeout")]


@pytest.mark.parametrize("reason", ["no_members", "no_answer", "node_unreachable"])
def test_a_node_that_plays_no_beep_is_no_news(world: World, gong: str, reason: str) -> None:
    world.answer(the_beep(world)["job"], ok=False, reason=reason)
    assert (world.sent(), told(world)) == ([], [])


@pytest.mark.parametrize("option", ["beep_enter", "beep_exit"])
def test_a_file_in_a_private_network_is_refused(store: OpenStore, world: World, option: str) -> None:
    registry = Registry(store)
    controller = Controller(store, registry, Placement(store, registry))
    room, options = world.create(), {option: "http://10.0.0.1/gong.wav"}
    for command in (
        CreateRoom(app_id="demo", name="other", options=options),
        ChangeRoom(app_id="demo", room_id=room, options=options),
    ):
        with pytest.raises(Refused) as refused:
            controller.execute(command)
        assert refused.value.code == "url_refused"
        assert refused.value.detail["fields"][0]["field"] == option


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
