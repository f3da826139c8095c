"""Rooms that end when somebody leaves, as the store's scripts see it."""

from __future__ import annotations

from typing import Any

import pytest

from controller.store import keys
from tests.integration.world import NODE, World

OTHER = "bcX79"


def member(world: World, room: str, number: int, **as_what: Any) -> str:
    session = world.park(number)
    assert "refused" not in world.ask("join", session_id=session, room_id=room, **as_what)
    for command in world.sent():
        world.answer(command["job"])
    world.tell("member_joined", session_id=session, room_id=room, member_id=number, flags=[])
    return session


def ends(world: World) -> str:
    """Why the room has ended, empty if it has not."""
    return next((data["reason"] for kind, data in world.webhooks() if kind == "conference.destroyed"), "")


@pytest.mark.parametrize("how", ["leave", "kick", "hangup", "node"])
def test_the_room_ends_with_the_last_that_joined_so(world: World, how: str) -> None:
    room = world.create()
    one, last, stays = (member(world, room, number, end_on_exit=number < 3) for number in (1, 2, 3))
    world.left(one, room, 1)
    assert ends(world) == ""
    if how in ("leave", "kick"):
        world.ask("leave", session_id=last, kicked=how == "kick" or None, command_uid="u1")
    if how == "hangup":
        world.tell("session_ended", session_id=last, cause="NORMAL_CLEARING")
    else:
        world.left(last, room, 2)
    told = world.webhooks()
    assert [(kind, data.get("uuid")) for kind, data in told if kind.startswith("conference.")] == [
        ("conference.member.left", last),
        ("conference.destroyed", None),
    ]
    (destroyed,) = [data for kind, data in told if kind == "conference.destroyed"]
    assert (destroyed["reason"], destroyed["peak_members"]) == ("end_on_exit", 3)
    assert "kick_all" in [command["op"] for command in world.sent()]
    assert world.ask("get_room", room_id=room)["refused"] == "room_not_found"
    world.left(stays, room, 3)
    ((_, data),) = world.webhooks()
    assert data["reason"] == "room_destroyed"
    for command in world.sent():
        world.answer(command["job"])
    assert world.leftovers(room) == []


@pytest.mark.parametrize("role", ["moderator", "participant"])
def test_the_room_ends_with_the_last_of_a_role(world: World, role: str) -> None:
    room = world.create()
    world.ask("change_room", room_id=room, options={"end_on_exit": role})
    assert world.room(room)["end_on_exit"] == role
    roles = ("moderator", "participant")
    sessions = [member(world, room, number, role=roles[number % 2]) for number in range(1, 5)]
    numbers = [number for number in range(1, 5) if roles[number % 2] == role]
    for number in numbers:
        assert ends(world) == ""
        world.left(sessions[number - 1], room, number)
    assert ends(world) == "end_on_exit"


def test_a_role_that_has_changed_counts(world: World) -> None:
    room = world.create()
    world.ask("change_room", room_id=room, options={"end_on_exit": "moderator"})
    first, second = member(world, room, 1, role="moderator"), member(world, room, 2)
    for session, role in ((second, "moderator"), (first, "participant")):
        asked = {"flags": [], "levels": [], "tags": "[]"}
        world.ask("change_member", room_id=room, session_id=session, role=role, **asked)
    world.left(first, room, 1)
    assert ends(world) == ""
    third = member(world, room, 3, role="moderator")
    world.ask("change_member", room_id=room, session_id=third, role="participant", flags=[], levels=[], tags="[]")
    world.left(second, room, 2)
    assert ends(world) == "end_on_exit"


def test_a_member_of_another_role_ends_no_room_and_no_option_does(world: World) -> None:
    room = world.create()
    member(world, room, 1, role="moderator")
    other = member(world, room, 2)
    world.ask("change_room", room_id=room, options={"end_on_exit": "moderator"})
    world.left(other, room, 2)
    assert ends(world) == ""
    world.ask("change_room", room_id=room, options={"end_on_exit": None})
    assert world.room(room)["end_on_exit"] is None
    world.left(world.ask("list_members", room_id=room, limit=1, after=0)["rows"][0]["session_id"], room, 1)
    assert ends(world) == ""


def test_one_who_is_joining_keeps_the_room(world: World) -> None:
    room = world.create()
    first = member(world, room, 1, end_on_exit=True)
    joining = world.park(2)
    world.ask("join", session_id=joining, room_id=room, end_on_exit=True)
    (command,) = world.sent()
    world.left(first, room, 1)
    assert ends(world) == ""
    world.answer(command["job"], ok=False, reason="refused")
    assert ends(world) == ""


def test_a_node_that_is_lost_ends_no_room(world: World) -> None:
    room = world.create()
    session, _ = member(world, room, 1, end_on_exit=True), member(world, room, 2)
    world.tell("session_ended", session_id=session, cause="UNKNOWN", node_lost=True)
    assert ends(world) == ""
    again = member(world, room, 3, end_on_exit=True)
    world.left(again, room, 3)
    assert ends(world) == "end_on_exit"


def test_who_is_back_in_the_room_has_not_left_it(world: World) -> None:
    """Both were missed while the link was down."""
    room = world.create()
    session = member(world, room, 1, end_on_exit=True)
    world.tell("member_joined", session_id=session, room_id=room, member_id=7, flags=[])
    assert ends(world) == ""
    assert world.room(room)["members"] == 1


def test_who_was_moved_to_another_room_has_left_the_first(world: World) -> None:
    room, other = world.create("one"), world.create("other")
    session = member(world, room, 1, end_on_exit=True)
    world.tell("member_joined", session_id=session, room_id=other, member_id=7, flags=[])
    assert ends(world) == "end_on_exit"
    assert world.room(other)["members"] == 1
    assert world.session(session)["end_on_exit"] is False


def test_a_room_that_moves_stays(world: World) -> None:
    room = world.create()
    here, there = member(world, room, 1, end_on_exit=True), world.park(2, OTHER)
    world.tell("member_joined", node=OTHER, session_id=there, room_id=room, member_id=2, flags=[])
    world.overdue(OTHER, down=(NODE,))
    world.age_legs(room)
    world.overdue(OTHER, down=(NODE,))
    assert world.room(room)["nodes"][0]["prefix"] == OTHER
    assert ends(world) == ""
    world.left(here, room, 1)
    assert ends(world) == "end_on_exit"


def test_participants_of_before_there_were_roles_keep_the_room(world: World) -> None:
    room = world.create()
    old, new = world.joined(room, 1), member(world, room, 2)
    world.store.client.hdel(keys.key(world.tag, "session", old), "role")
    world.ask("change_room", room_id=room, options={"end_on_exit": "participant"})
    world.left(new, room, 2)
    assert ends(world) == ""
    world.left(old, room, 1)
    assert ends(world) == "end_on_exit"


def test_kick_all_ends_the_room_and_both_are_told(world: World) -> None:
    room = world.create()
    for number in (1, 2):
        member(world, room, number, end_on_exit=True)
    world.kick_all(room)
    world.webhooks()
    for command in world.sent():
        world.answer(command["job"])
        world.left(command["session"], room, command["member_id"])
    assert world.types() == [
        "conference.member.left",
        "conference.member.left",
        "conference.command.finished",
        "conference.destroyed",
    ]
    for command in world.sent():
        world.answer(command["job"])
    assert world.leftovers(room) == []
