"""How loud a member is to the room, and the room to it: from the command to what the node says of it."""

from __future__ import annotations

import pytest

from controller.commands.sessions import as_text
from controller.sessions.flags import FLAGS
from controller.sessions.levels import LEVELS, WEBHOOK
from controller.store import keys
from tests.integration.world import NODE, World

MUTED, *_ = FLAGS
NAMES = [level.name for level in LEVELS]
FAILED = "conference.command.failed"


class Member:
    """A member of a room. `say`: what the node does of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.room = world.create()
        self.session = world.joined(self.room)
        world.webhooks()

    def say(self, level: str, value: int, member_id: int = 1) -> None:
        about = {"session_id": self.session, "room_id": self.room, "member_id": member_id}
        self.world.tell("level_changed", **about, level=level, value=value)


@pytest.fixture
def member(world: World) -> Member:
    return Member(world)


def test_a_join_sets_what_is_asked_once_it_is_in(world: World) -> None:
    room, session = world.create(), world.park()
    levels = as_text([("volume_in", -3), ("volume_out", 4)])
    world.ask("join", session_id=session, room_id=room, levels=levels, command_uid="j", trace="t1")
    (join,) = world.sent()
    world.answer(join["job"])
    assert join["op"] == "join"
    world.webhooks()
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted"])
    ((kind, joined),) = world.webhooks()
    assert (kind, joined["volume_in"], joined["volume_out"]) == ("conference.member.joined", 0, 0)
    sent = world.sent()
    assert [(one["op"], one["member_id"], one["value"]) for one in sent] == [("volume_in", 1, -3), ("volume_out", 1, 4)]
    world.answer(sent[1]["job"], ok=False, reason="refused", text="-ERR")
    world.tell("level_changed", session_id=session, room_id=room, member_id=1, level="volume_in", value=-3)
    failed, changed = (data for _, data in world.webhooks())
    assert (failed["command"], failed["command_uid"], changed["command_uid"]) == ("volume_out", "j", "j")
    assert (changed["volume_in"], changed["volume_out"]) == (-3, 0)
    # The next join begins anew.
    world.left(session, room)
    world.ask("join", session_id=session, room_id=room)
    world.sent()
    world.tell("member_joined", session_id=session, room_id=room, member_id=2, flags=[])
    assert world.sent() == []


def test_what_a_join_asks_for_is_gone_with_it(world: World) -> None:
    room, session = world.create(), world.park()
    world.ask("join", session_id=session, room_id=room, levels=as_text([("volume_in", 2)]))
    world.answer(world.sent()[0]["job"], ok=False, reason="refused")
    assert world.types()[-1] == "conference.member.join_failed"
    # By the operator's hand.
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=[])
    assert world.sent() == []


@pytest.mark.parametrize("level", NAMES)
def test_the_node_confirms_it(world: World, member: Member, level: str) -> None:
    answer = {"status": "volume_changed", "room_id": member.room}
    assert world.set_level(member.session, level, -3, command_uid="v") == answer
    (sent,) = world.sent()
    assert (sent["op"], sent["member_id"], sent["value"]) == (level, 1, -3)
    world.answer(sent["job"])
    assert world.types() == []
    assert world.session(member.session)[level] == 0
    member.say(level, -3)
    ((kind, data),) = world.webhooks()
    assert (kind, data[level], data["command_uid"], data["muted"]) == (WEBHOOK, -3, "v", True)
    assert world.session(member.session)[level] == -3
    # The node says so again, and so does the comparison.
    member.say(level, -3)
    world.overdue()
    assert world.types() == []
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))


def test_the_same_volume_again_is_confirmed_as_well(world: World, member: Member) -> None:
    for uid in ("one", "two"):
        assert world.set_level(member.session, "volume_in", 2, command_uid=uid)["status"] == "volume_changed"
        member.say("volume_in", 2)
    assert [data["command_uid"] for _, data in world.webhooks()] == ["one", "two"]


def test_one_command_for_each_at_a_time(world: World, member: Member) -> None:
    world.set_level(member.session, "volume_in", 2, command_uid="in")
    assert world.set_level(member.session, "volume_in", 3)["refused"] == "volume_pending"
    assert world.set_level(member.session, "volume_out", 1, command_uid="out")["status"] == "volume_changed"
    assert world.set_flag(member.session, MUTED, False, command_uid="u")["status"] == "unmuted"
    assert [command["op"] for command in world.sent()] == ["volume_in", "volume_out", "unmute"]
    member.say("volume_out", 1)
    member.say("volume_in", 2)
    told = [(data["command_uid"], data["volume_in"], data["volume_out"]) for _, data in world.webhooks()]
    assert told == [("out", 0, 1), ("in", 2, 1)]
    assert world.set_level(member.session, "volume_in", 3)["status"] == "volume_changed"


def test_what_the_operator_sets_confirms_no_command(world: World, member: Member) -> None:
    world.set_level(member.session, "volume_in", 2, command_uid="v")
    member.say("volume_in", 4)
    member.say("volume_in", 2)
    assert [(data.get("command_uid"), data["volume_in"]) for _, data in world.webhooks()] == [(None, 4), ("v", 2)]


@pytest.mark.parametrize("how", ["refused", "no_answer", "not_confirmed", "node_unreachable", "no_member"])
def test_one_that_comes_to_nothing(world: World, member: Member, how: str) -> None:
    world.set_level(member.session, "volume_in", 2, command_uid="v")
    if how != "node_unreachable":
        (sent,) = world.sent()
        if how in ("refused", "no_answer"):
            world.answer(sent["job"], ok=False, reason=how)
        elif how == "not_confirmed":
            world.answer(sent["job"])
    if how == "no_member":
        world.left(member.session, member.room)
    else:
        world.overdue()
    kind, data = world.webhooks()[0]
    assert (kind, data["command"], data["command_uid"], data["reason"]) == (FAILED, "volume_in", "v", how)
    assert data["volume_in"] == 0
    world.overdue()
    assert FAILED not in world.types()


def test_it_goes_with_the_membership(world: World, member: Member) -> None:
    """A member joins with 0 (trace 23)."""
    world.set_level(member.session, "volume_in", 2)
    member.say("volume_in", 2)
    world.webhooks()
    world.left(member.session, member.room)
    ((_, left),) = world.webhooks()
    assert left["volume_in"] == 2
    assert world.session(member.session)["volume_in"] == 0
    assert not [
        name for name in world.store.client.hgetall(keys.key(world.tag, "session", member.session)) if b"volume" in name
    ]
    world.ask("join", session_id=member.session, room_id=member.room)
    member.say("volume_in", 3)  # late, of the membership before
    world.tell("member_joined", session_id=member.session, room_id=member.room, member_id=2, flags=["muted"])
    ((kind, joined),) = world.webhooks()
    assert (kind, joined["volume_in"]) == ("conference.member.joined", 0)


def test_what_keeps_it_back(world: World, member: Member) -> None:
    parked = world.park(2)
    assert world.set_level(parked, "volume_in", 1)["refused"] == "not_in_room"
    world.ask("join", session_id=parked, room_id=member.room)
    assert world.set_level(parked, "volume_in", 1)["refused"] == "still_joining"
    world.nodes[NODE]["up"] = False
    assert world.set_level(member.session, "volume_out", 1)["refused"] == "node_down"
    world.nodes[NODE]["up"] = True
    world.limits["cooldowns"] = {**world.limits["cooldowns"], "conference_volume": 3_600_000}
    assert world.set_level(member.session, "volume_in", 1)["status"] == "volume_changed"
    assert world.set_level(member.session, "volume_out", 1)["detail"]["group"] == "conference_volume"
    assert "refused" in World(world.store, "other").set_level(member.session, "volume_in", 1)


def test_a_command_uid_stands_for_its_value(world: World, member: Member) -> None:
    first = world.set_level(member.session, "volume_in", 1, command_uid="v", body="1")
    assert world.set_level(member.session, "volume_in", 1, command_uid="v", body="1") == first
    for level, body in (("volume_in", "2"), ("volume_out", "1")):
        again = world.set_level(member.session, level, int(body), command_uid="v", body=body)
        assert again["refused"] == "command_uid_taken"
    assert len([command for command in world.sent() if command["op"] == "volume_in"]) == 1
