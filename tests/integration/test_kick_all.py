"""All members of a room kicked, as the store's scripts see it."""

from __future__ import annotations

from typing import Any

import pytest

from controller.limits import QUOTAS
from controller.store import keys
from tests.integration.world import NODE, World

OTHER = "bcX79"
PARTS = 60  # members that take some steps


def out(world: World, command: dict[str, Any], **more: Any) -> None:
    """The node has taken a member out."""
    world.answer(command["job"])
    world.left(command["session"], command["room"], command["member_id"], **more)


def told(world: World) -> list[tuple[Any, ...]]:
    return [(kind, data.get("uuid"), data.get("reason"), data.get("command_uid")) for kind, data in world.webhooks()]


def finished(world: World) -> tuple[int, int, list[dict[str, Any]]]:
    (summary,) = [data for kind, data in world.webhooks() if kind == "conference.command.finished"]
    assert (summary["command"], summary["operation_id"]) == ("kick", "all1")
    return summary["changed"], summary["failed"], summary["failed_members"]


def test_each_member_is_kicked_and_the_summary_follows(world: World) -> None:
    room = world.create()
    one, other, excluded = (world.joined(room, number) for number in (1, 2, 3))
    world.webhooks()
    asked = world.kick_all(room, exclude=[excluded], reason="Over")
    assert asked == {"operation_id": "all1", "status": "in_progress"}
    sent = world.sent()
    assert [(command["op"], command["session"]) for command in sent] == [("kick", one), ("kick", other)]
    for command in sent:
        out(world, command)
    webhooks = world.webhooks()
    for (kind, data), session in zip(webhooks, (one, other), strict=False):
        assert (kind, data["uuid"], data["command_uid"]) == ("conference.member.left", session, "all1")
        assert (data["reason"], data["kicked_by"], data["kick_reason"]) == ("kicked", "app", "Over")
    kind, summary = webhooks[-1]
    assert (len(webhooks), kind, summary["changed"]) == (3, "conference.command.finished", 2)
    assert world.session(excluded)["state"] == "joined"
    assert world.session(one)["state"] == "parked"
    assert not world.store.client.exists(keys.key(world.tag, "command_to_all", room))
    assert not world.store.client.zrange(keys.key(world.tag, "due", NODE), 0, -1)
    fields = world.store.client.hgetall(keys.key(world.tag, "session", one))
    assert not {b"kicked", b"kick_reason", b"kick_operation", b"uid", b"job"} & fields.keys()


def test_undelivered_webhooks_are_bounded(world: World) -> None:
    """In an empty room, too, where nothing else would end it."""
    room = world.create()
    world.limits["quotas"] = {**QUOTAS, "webhook_bytes": 3000}
    answers = [world.kick_all(room, operation_id=f"all{number}") for number in range(9)]
    refused = [answer for answer in answers if "refused" in answer]
    assert 0 < len(refused) < len(answers)
    assert {answer["refused"] for answer in refused} == {"quota_exceeded"}


def test_moderators_may_be_left_out(world: World) -> None:
    room = world.create()
    sessions = {}
    for number, role in enumerate(("participant", "moderator"), 1):
        sessions[role] = session = world.park(number)
        world.ask("join", session_id=session, room_id=room, role=role)
        for command in world.sent():
            world.answer(command["job"])
        world.tell("member_joined", session_id=session, room_id=room, member_id=number, flags=[])
    world.kick_all(room, exclude_moderators=True)
    assert [command["session"] for command in world.sent()] == [sessions["participant"]]


def test_who_is_leaving_or_joining_is_left_out(world: World) -> None:
    room = world.create()
    leaving = world.joined(room, 1)
    world.ask("leave", session_id=leaving)
    world.ask("join", session_id=world.park(2), room_id=room)
    world.sent()
    world.webhooks()
    world.kick_all(room)
    assert world.sent() == []
    assert finished(world) == (0, 0, [])


def test_who_hangs_up_meanwhile_is_out(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.kick_all(room)
    world.webhooks()
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    assert told(world)[:2] == [
        ("conference.member.left", session, "hangup", "all1"),
        ("conference.command.finished", None, None, None),
    ]


def test_who_does_not_follow_is_named_and_stays(world: World) -> None:
    room = world.create()
    refused, late = (world.joined(room, number) for number in (1, 2))
    world.kick_all(room, reason="Over")
    commands = world.sent()
    world.answer(commands[0]["job"], ok=False, reason="refused", text="no")
    world.answer(commands[1]["job"])
    world.overdue()
    assert finished(world) == (
        0,
        2,
        [{"uuid": refused, "reason": "refused"}, {"uuid": late, "reason": "not_confirmed"}],
    )
    assert world.session(refused)["state"] == world.session(late)["state"] == "joined"
    # Of a later kick, nothing of that one is told.
    world.ask("leave", session_id=refused)
    world.left(refused, room, 1)
    assert told(world) == [("conference.member.left", refused, "left", None)]


def test_a_member_that_the_node_has_no_more_is_out(world: World) -> None:
    room = world.create()
    world.joined(room)
    world.kick_all(room)
    (command,) = world.sent()
    world.answer(command["job"], ok=False, reason="no_member")
    assert finished(world) == (1, 0, [])


def test_a_large_room_is_kicked_in_parts_and_who_joins_meanwhile_stays(world: World) -> None:
    room = world.create()
    for number in range(1, PARTS + 1):
        world.joined(room, number)
    world.kick_all(room)
    rounds = 0
    while commands := world.sent():
        rounds += 1
        for command in commands:
            out(world, command)
        if rounds == 1:
            late = {"session_id": world.park(PARTS + 1), "room_id": room, "member_id": PARTS + 1}
            world.tell("member_joined", **late, flags=[])
    assert rounds > 1
    assert finished(world) == (PARTS, 0, [])
    assert world.room(room)["members"] == 1


def test_a_member_of_another_node_is_kicked_there_and_no_leg(world: World) -> None:
    room = world.create()
    here, there = world.joined(room, 1), world.park(2, OTHER)
    world.tell("member_joined", node=OTHER, session_id=there, room_id=room, member_id=2, flags=["muted"])
    world.kick_all(room)
    kicks = {node: [each["session"] for each in world.sent(node) if "kick" in each["op"]] for node in (NODE, OTHER)}
    assert kicks == {NODE: [here], OTHER: [there]}


def test_one_command_to_all_at_a_time(world: World) -> None:
    room = world.create()
    world.joined(room)
    world.kick_all(room)
    assert world.kick_all(room)["refused"] == "members_pending"
    (command,) = world.sent()
    out(world, command)
    assert world.kick_all(room)["status"] == "in_progress"


def test_a_command_uid_that_is_the_operation_s_counts_for_nothing(world: World) -> None:
    room = world.create()
    kicked, spared = world.joined(room, 1), world.joined(room, 2)
    world.kick_all(room, exclude=[spared])
    (command,) = world.sent()
    world.ask("leave", session_id=spared, kicked=True, command_uid="all1")
    world.left(spared, room, 2)
    assert "conference.command.finished" not in world.types()
    assert command["session"] == kicked
    out(world, command)
    assert finished(world) == (1, 0, [])


@pytest.mark.parametrize("members", [1, PARTS])
def test_a_room_is_deleted_meanwhile(world: World, members: int) -> None:
    room = world.create()
    sessions = [world.joined(room, number) for number in range(1, members + 1)]
    world.kick_all(room)
    asked = world.sent()
    world.ask("delete_room", room_id=room)
    for number, session in enumerate(sessions, start=1):
        world.left(session, room, number)
    assert finished(world) == (len(asked), 0, [])
    for command in world.sent():
        world.answer(command["job"])
    assert world.leftovers(room) == []


def test_another_apps_room(world: World) -> None:
    room = world.create()
    world.joined(room)
    assert world.kick_all(room, app_id="other")["refused"] == "room_forbidden"
    assert world.sent() == []
