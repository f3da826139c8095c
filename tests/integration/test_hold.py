"""Members on hold, with music and without: from the command to what the node says of it."""

from __future__ import annotations

import pytest

from controller.sessions.flags import FLAGS, HOLD
from controller.store import keys
from tests.integration.test_levels import Member
from tests.integration.world import NODE, World

MUTED, *_ = FLAGS
MUSIC = "https://cdn.example.com/music.mp3"
FAILED = "conference.command.failed"


@pytest.fixture
def member(world: World) -> Member:
    return Member(world)


def say(member: Member, on: bool) -> None:
    about = {"session_id": member.session, "room_id": member.room, "member_id": 1}
    member.world.tell("flag_changed", **about, flag="hold", on=on)


@pytest.mark.parametrize("url", [None, MUSIC])
def test_a_member_is_put_on_hold_and_taken_off(world: World, member: Member, url: str | None) -> None:
    assert world.set_flag(member.session, HOLD, True, url=url, command_uid="h")["status"] == "held"
    (sent,) = world.sent()
    assert (sent["op"], sent.get("url"), sent["member_id"]) == ("hold", url, 1)
    # The node would not always keep the order of the two.
    assert world.set_flag(member.session, HOLD, False)["refused"] == "hold_pending"
    say(member, True)
    world.answer(sent["job"])
    ((kind, data),) = world.webhooks()
    assert (kind, data["hold"], data["muted"], data["command_uid"]) == ("conference.member.held", True, True, "h")
    assert world.session(member.session)["hold"] is True
    assert world.set_flag(member.session, HOLD, True)["refused"] == "already_held"
    assert world.set_flag(member.session, HOLD, False, command_uid="u")["status"] == "unheld"
    assert world.set_flag(member.session, HOLD, True)["refused"] == "unhold_pending"
    say(member, False)
    ((kind, data),) = world.webhooks()
    assert (kind, data["hold"], data["command_uid"]) == ("conference.member.unheld", False, "u")
    for command in world.sent():
        world.answer(command["job"])
    world.overdue()
    assert world.types() == []
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))


def test_music_that_cannot_be_played(world: World, member: Member) -> None:
    """As a worker says whose relay could not prepare it."""
    world.set_flag(member.session, HOLD, True, url=MUSIC, command_uid="h")
    (sent,) = world.sent()
    world.answer(sent["job"], ok=False, reason="not_found", http_status=404)
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["reason"], data["hold"]) == (FAILED, "hold", "not_found", False)
    assert world.set_flag(member.session, HOLD, True)["status"] == "held"


def test_music_may_take_its_time(world: World, member: Member) -> None:
    """As a play may: until its file is ready, and then until the node has it."""
    world.set_flag(member.session, HOLD, True, command_uid="short")
    short = world.due(NODE, f"hold:{member.session}") - world.now()
    say(member, True)
    world.set_flag(member.session, HOLD, False)
    say(member, False)
    world.set_flag(member.session, HOLD, True, url=MUSIC)
    assert world.due(NODE, f"hold:{member.session}") - world.now() > 4 * short


@pytest.mark.parametrize("how", ["left", "overdue"])
def test_one_that_is_still_waiting_for_its_music_is_taken_back(world: World, member: Member, how: str) -> None:
    """Else it would be on hold when it has joined again, with the same number."""
    world.sent()
    world.set_flag(member.session, HOLD, True, url=MUSIC, command_uid="h")
    if how == "left":
        world.left(member.session, member.room)
    else:
        world.overdue(kind="hold")
    reason = {"left": "no_member", "overdue": "not_confirmed"}[how]
    kind, data = world.webhooks()[0]
    assert (kind, data["command"], data["reason"], data["command_uid"]) == (FAILED, "hold", reason, "h")
    assert world.sent() == []
    world.overdue()
    assert FAILED not in world.types()


def test_one_that_is_still_waiting_for_its_music_goes_on_when_a_later_command_fails(
    world: World, member: Member
) -> None:
    world.sent()
    world.set_flag(member.session, HOLD, True, url=MUSIC)
    world.set_flag(member.session, MUTED, False, command_uid="u")
    *_, (entry, _) = world.store.client.xrange(keys.key(world.tag, "commands", NODE))
    (unmute,) = world.tell("take", node=NODE, entries=[entry.decode()])["commands"]
    world.answer(unmute["job"], ok=False, reason="no_answer")
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["command_uid"]) == (FAILED, "unmute", "u")
    (hold,) = world.sent()
    say(member, True)
    world.answer(hold["job"])
    assert world.types() == ["conference.member.held"]


def test_no_music_without_a_relay(world: World, member: Member) -> None:
    world.limits["relay_up"] = False
    assert world.set_flag(member.session, HOLD, True, url=MUSIC)["refused"] == "no_relay"
    assert world.set_flag(member.session, HOLD, True)["status"] == "held"


def test_hold_goes_with_the_membership(world: World, member: Member) -> None:
    world.set_flag(member.session, HOLD, True)
    say(member, True)
    world.webhooks()
    world.left(member.session, member.room)
    ((_, left),) = world.webhooks()
    assert left["hold"] is True
    assert world.session(member.session)["hold"] is False


def test_all_are_taken_off_hold_but_one_that_is_about_to_be_held(world: World, member: Member) -> None:
    other = world.joined(member.room, 2)
    world.set_flag(member.session, HOLD, True)
    say(member, True)
    world.set_flag(other, HOLD, True, url=MUSIC)
    world.sent()
    world.webhooks()
    world.flag_of_all(member.room, HOLD, False)
    assert [(command["op"], command["session"]) for command in world.sent()] == [("unhold", member.session)]
    say(member, False)
    assert world.types() == ["conference.member.unheld", "conference.command.finished"]
