"""A flag changed for all members of a room, as the store's scripts see it."""

from __future__ import annotations

from typing import Any

import pytest

from controller.sessions.flags import FLAGS
from controller.store import keys
from tests.integration.world import NODE, World

MUTED, _, HOLD = FLAGS
PARTS = 60  # members that take some steps


def confirm(world: World, command: dict[str, Any], room: str) -> None:
    world.answer(command["job"])
    member = {"session_id": command["session"], "room_id": room, "member_id": command["member_id"]}
    world.tell("flag_changed", **member, flag="muted", on=command["op"] == "mute")


def finished(world: World) -> list[dict[str, Any]]:
    return [data for kind, data in world.webhooks() if kind == "conference.command.finished"]


def is_forgotten(world: World, room: str) -> bool:
    due = world.store.client.zrange(keys.key(world.tag, "due", NODE), 0, -1)
    return not world.store.client.exists(keys.key(world.tag, "command_to_all", room)) and not due


def test_each_member_is_changed_and_the_summary_follows(world: World) -> None:
    room = world.create()
    one, other, excluded = (world.joined(room, number) for number in (1, 2, 3))
    world.webhooks()
    assert world.flag_of_all(room, MUTED, False, exclude=[excluded]) == {
        "operation_id": "all1",
        "status": "in_progress",
    }
    sent = world.sent()
    assert [(command["op"], command["session"]) for command in sent] == [("unmute", one), ("unmute", other)]
    for command in sent:
        confirm(world, command, room)
    told = world.webhooks()
    assert [(kind, data.get("command_uid")) for kind, data in told] == [
        ("conference.member.unmuted", "all1"),
        ("conference.member.unmuted", "all1"),
        ("conference.command.finished", None),
    ]
    summary = told[-1][1]
    assert (summary["command"], summary["changed"], summary["failed"]) == ("unmute", 2, 0)
    assert world.session(excluded)["muted"]
    assert is_forgotten(world, room)


def test_moderators_may_be_left_out(world: World) -> None:
    room = world.create()
    member, moderator = world.park(1), world.park(2)
    for number, (session, role) in enumerate(((member, "participant"), (moderator, "moderator")), 1):
        world.ask("join", session_id=session, room_id=room, flags=[], role=role)
        for command in world.sent():
            world.answer(command["job"])
        world.tell("member_joined", session_id=session, room_id=room, member_id=number, flags=[])
    world.flag_of_all(room, MUTED, True, exclude_moderators=True)
    assert [command["session"] for command in world.sent()] == [member]


def test_who_is_so_already_gets_no_command(world: World) -> None:
    room = world.create()
    world.joined(room)
    world.webhooks()
    world.flag_of_all(room, MUTED, True)
    assert world.sent() == []
    assert [(data["changed"], data["failed"], data["skipped"]) for data in finished(world)] == [(0, 0, 0)]


def test_who_cannot_be_asked_is_named(world: World) -> None:
    room = world.create()
    _, listener = (world.joined(room, number) for number in (1, 2))
    world.play_to(listener, "https://cdn.example.com/a.wav")
    world.sent()
    world.webhooks()
    world.flag_of_all(room, HOLD, True)
    (sent,) = world.sent()
    world.answer(sent["job"], ok=False, reason="refused")
    (summary,) = finished(world)
    assert (summary["changed"], summary["failed"], summary["skipped"]) == (0, 1, 1)
    assert summary["skipped_members"] == [{"uuid": listener, "reason": "already_playing"}]


def test_who_does_not_follow_is_named(world: World) -> None:
    room = world.create()
    refused, gone, late = (world.joined(room, number) for number in (1, 2, 3))
    world.flag_of_all(room, MUTED, False)
    commands = world.sent()
    world.answer(commands[0]["job"], ok=False, reason="refused", text="no")
    world.left(gone, room, 2, "NORMAL_CLEARING")
    assert finished(world) == []
    world.answer(commands[2]["job"])
    world.overdue()
    (summary,) = finished(world)
    assert (summary["changed"], summary["failed"]) == (0, 3)
    assert summary["failed_members"] == [
        {"uuid": refused, "reason": "refused"},
        {"uuid": gone, "reason": "no_member"},
        {"uuid": late, "reason": "not_confirmed"},
    ]
    assert is_forgotten(world, room)


def test_a_large_room_is_asked_in_parts(world: World) -> None:
    room = world.create()
    for number in range(1, PARTS + 1):
        world.joined(room, number)
    world.flag_of_all(room, MUTED, False)
    rounds = 0
    while commands := world.sent():
        rounds += 1
        for command in commands:
            confirm(world, command, room)
    assert rounds > 1
    (summary,) = finished(world)
    assert (summary["changed"], summary["failed"]) == (PARTS, 0)


def test_the_worker_brings_on_what_no_outcome_does(world: World) -> None:
    """The first members of a large room are muted already."""
    room = world.create()
    sessions = [world.joined(room, number) for number in range(1, PARTS + 1)]
    last = {"session_id": sessions[-1], "room_id": room, "member_id": PARTS}
    world.tell("flag_changed", **last, flag="muted", on=False)
    world.flag_of_all(room, MUTED, True)
    assert world.sent() == []
    while world.tell("overdue")["more"]:
        pass
    (command,) = world.sent()
    assert command["session"] == sessions[-1]
    confirm(world, command, room)
    (summary,) = finished(world)
    assert (summary["changed"], summary["failed"]) == (1, 0)


def test_one_at_a_time(world: World) -> None:
    room = world.create()
    world.joined(room)
    world.flag_of_all(room, MUTED, False)
    assert world.flag_of_all(room, MUTED, True)["refused"] == "members_pending"
    (command,) = world.sent()
    confirm(world, command, room)
    assert world.flag_of_all(room, MUTED, True)["status"] == "in_progress"


def test_who_joins_meanwhile_is_left_out(world: World) -> None:
    room = world.create()
    world.joined(room)
    world.flag_of_all(room, MUTED, False)
    (command,) = world.sent()
    world.joined(room, 2)
    confirm(world, command, room)
    assert world.sent() == []
    assert [data["changed"] for data in finished(world)] == [1]


def test_a_member_of_another_node_gets_its_command_there(world: World) -> None:
    room = world.create()
    session = world.park(2, "bcX79")
    world.tell("member_joined", node="bcX79", session_id=session, room_id=room, member_id=2, flags=["muted"])
    world.flag_of_all(room, MUTED, False)
    assert [command["session"] for command in world.sent("bcX79") if command["op"] == "unmute"] == [session]


@pytest.mark.parametrize("members", [1, PARTS])
def test_a_room_is_deleted_meanwhile(world: World, members: int) -> None:
    room = world.create()
    sessions = [world.joined(room, number) for number in range(1, members + 1)]
    world.flag_of_all(room, MUTED, False)
    asked = [command["session"] for command in world.sent()]
    world.ask("delete_room", room_id=room)
    for number, session in enumerate(sessions, start=1):
        world.left(session, room, number)
    (summary,) = finished(world)
    assert (summary["changed"], summary["failed"]) == (0, len(asked))
    for command in world.sent():
        world.answer(command["job"])
    assert world.leftovers(room) == []


def test_it_is_over_even_if_an_outcome_is_lost(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.flag_of_all(room, MUTED, False)
    world.store.client.delete(keys.key(world.tag, "session", session))
    world.overdue()
    assert [(data["changed"], data["failed"]) for data in finished(world)] == [(0, 0)]


def test_another_apps_room(world: World) -> None:
    room = world.create()
    world.joined(room)
    assert world.flag_of_all(room, MUTED, False, app_id="other")["refused"] == "room_forbidden"
    assert world.sent() == []
