"""Several things of a member changed at once: all of them, or none."""

from __future__ import annotations

from typing import Any

import pytest

from controller.sessions.flags import FLAGS
from tests.integration.test_levels import Member
from tests.integration.world import NODE, World

MUTED, *_ = FLAGS


@pytest.fixture
def member(world: World) -> Member:
    return Member(world)


def change(world: World, member: Member, **asked: Any) -> dict[str, Any]:
    given = {"flags": [], "levels": [], "room_id": member.room, "session_id": member.session, **asked}
    if "tags" not in given:
        world.limits.pop("tags", None)
    if "role" not in given:
        world.limits.pop("role", None)
    return world.ask("change_member", **given)


def test_each_change_is_confirmed_by_itself(world: World, member: Member) -> None:
    flags, levels = [["muted", False], ["deaf", True]], [["volume_in", 2], ["volume_out", 0]]
    answer = change(world, member, flags=flags, levels=levels, role="moderator", tags='["a"]', command_uid="c")
    assert answer == {"status": "changing", "room_id": member.room, "changing": ["muted", "deaf", "volume_in"]}
    assert [command["op"] for command in world.sent()] == ["unmute", "deaf", "volume_in"]
    ((kind, data),) = world.webhooks()
    assert (kind, data["role"], data["tags"], data["muted"]) == ("conference.member.updated", "moderator", ["a"], True)
    about = {"session_id": member.session, "room_id": member.room, "member_id": 1}
    world.tell("flag_changed", **about, flag="deaf", on=True)
    member.say("volume_in", 2)
    world.tell("flag_changed", **about, flag="muted", on=False)
    assert [(kind.rpartition(".")[2], data["command_uid"]) for kind, data in world.webhooks()] == [
        ("deafened", "c"),
        ("volume_changed", "c"),
        ("unmuted", "c"),
    ]
    shown = world.session(member.session)
    assert (shown["muted"], shown["deaf"], shown["volume_in"], shown["role"]) == (False, True, 2, "moderator")


def test_what_is_so_already_is_left_out(world: World, member: Member) -> None:
    world.limits["cooldowns"] = {**world.limits["cooldowns"], "conference_member": 3_600_000}
    for _ in range(2):  # it starts no cooldown
        as_it_is = {"flags": [["muted", True]], "levels": [["volume_in", 0]], "role": "participant", "tags": "[]"}
        assert change(world, member, group="conference_member", **as_it_is)["changing"] == []
    assert world.sent() == []
    assert world.types() == []


@pytest.mark.parametrize(
    ("pending", "refusal"),
    [(("muted", False), "unmute_pending"), (("hold", True), "hold_pending"), (("volume_in", 1), "volume_pending")],
)
def test_one_that_cannot_be_changed_now_keeps_all_back(
    world: World, member: Member, pending: tuple[str, Any], refusal: str
) -> None:
    name, value = pending
    of = "levels" if name == "volume_in" else "flags"
    change(world, member, **{of: [[name, value]]})
    world.sent()
    opposite = value if name != "hold" else False
    asked = {"flags": [["deaf", True]], "levels": [["volume_out", 1]], "role": "moderator", "tags": '["a"]'}
    asked[of] = [*asked[of], [name, opposite]]
    assert change(world, member, **asked)["refused"] == refusal
    assert world.sent() == []
    assert world.types() == []
    shown = world.session(member.session)
    assert (shown["role"], "tags" in shown) == ("participant", False)


def test_an_opposite_that_is_pending_is_no_hindrance(world: World, member: Member) -> None:
    world.set_flag(member.session, MUTED, False)
    assert change(world, member, flags=[["muted", True]])["changing"] == ["muted"]
    assert [command["op"] for command in world.sent()] == ["unmute", "mute"]


def test_only_a_member_of_that_room(world: World, member: Member) -> None:
    other = world.create("other")
    assert change(world, member, room_id=other, role="moderator")["refused"] == "not_in_room"
    parked = world.park(2)
    assert change(world, member, session_id=parked, role="moderator")["refused"] == "not_in_room"
    world.nodes[NODE]["up"] = False
    assert change(world, member, role="moderator")["refused"] == "node_down"
    assert change(World(world.store, "other"), member, role="moderator")["refused"] in (
        "room_not_found",
        "room_forbidden",
    )
    assert world.types() == ["conference.created", "session.started"]


def test_a_command_uid_stands_for_all_that_was_asked(world: World, member: Member) -> None:
    asked = {"flags": [["muted", False]], "command_uid": "c", "body": "1"}
    first = change(world, member, **asked)
    assert change(world, member, **asked) == first
    assert first["changing"] == ["muted"]
    assert change(world, member, flags=[], command_uid="c", body="2")["refused"] == "command_uid_taken"
    assert len(world.sent()) == 1
