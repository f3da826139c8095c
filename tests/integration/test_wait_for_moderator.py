"""Members that wait for a moderator, from their join to when they are let in, as the store's scripts see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.sessions.flags import FLAGS, HOLD, Flag
from controller.store import keys
from tests.integration.world import NODE, World

MUTED, DEAF, _ = FLAGS
MUSIC = "https://cdn.example.com/music.mp3"
FAILED = "conference.command.failed"
OTHER = "bcX79"
CROWD = 60  # members that are let in by some steps


@pytest.fixture
def room(world: World) -> str:
    room = world.create()
    change(world, room, wait_for_moderator=True)
    world.webhooks()
    return room


def change(world: World, room: str, **options: Any) -> None:
    assert "refused" not in world.ask("change_room", room_id=room, options=options)


def obey(world: World, room: str, node: str = NODE) -> list[str]:
    """The node does what it is told, until it is told nothing more. Returns what it was told, by the ops."""
    told = []
    while commands := world.sent(node):
        for command in commands:
            op, session = command["op"], command["session"]
            told.append(op)
            world.answer_on(node, command)
            for flag, on in ((flag, on) for flag in FLAGS for on in (True, False) if flag.change(on).command == op):
                about = {"session_id": session, "room_id": room, "member_id": command["member_id"]}
                world.tell("flag_changed", node=node, **about, flag=flag.name, on=on)
    return told


def join(world: World, room: str, number: int = 1, *, node: str = NODE, confirmed: bool = True, **more: Any) -> str:
    """A session that joins with no flag. The node has it muted and deaf if it was told so."""
    session = world.park(number, node)
    assert "refused" not in world.ask("join", **{"flags": [], **more}, session_id=session, room_id=room)
    if confirmed:
        arrive(world, room, session, number, node=node)
    return session


def arrive(world: World, room: str, session: str, number: int = 1, *, node: str = NODE) -> None:
    (command,) = world.sent(node)
    world.answer_on(node, command)
    flags = [name for verb, name in (("mute", "muted"), ("deaf", "deaf")) if verb in command["flags"].split()]
    world.tell("member_joined", node=node, session_id=session, room_id=room, member_id=number, flags=flags)


def moderator(world: World, room: str, number: int = 99) -> str:
    return join(world, room, number, role="moderator")


def crowd(world: World, room: str, size: int) -> list[str]:
    """So many who wait, on hold."""
    sessions = []
    for number in range(1, size + 1):
        sessions.append(join(world, room, number))
        obey(world, room)
    return sessions


def state(world: World, session: str) -> dict[str, bool]:
    found = world.session(session)
    return {name: found[name] for name in ("muted", "deaf", "hold", "waiting")}


def is_so(*names: str) -> dict[str, bool]:
    return dict.fromkeys(("muted", "deaf", "hold", "waiting"), False) | dict.fromkeys(names, True)


@pytest.mark.parametrize("flags", [[], ["muted"], ["deaf"], ["muted", "deaf"]])
@pytest.mark.parametrize("music", [None, MUSIC])
def test_who_joins_waits_on_hold_and_is_let_in(world: World, room: str, flags: list[str], music: str | None) -> None:
    change(world, room, hold_music=music)
    assert world.room(room)["begun"] is False
    world.webhooks()
    session = join(world, room, flags=flags, confirmed=False, command_uid="j")
    (command,) = world.sent()
    assert command["flags"] == "deaf mute"
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted", "deaf"])
    (kind, joined) = world.webhooks()[-1]
    assert (kind, joined["waiting"], joined["muted"], joined["deaf"]) == (
        "conference.member.joined", True, "muted" in flags, "deaf" in flags,
    )  # fmt: skip
    (hold,) = world.sent()
    assert (hold["op"], hold.get("url")) == ("hold", music)
    about = {"session_id": session, "room_id": room, "member_id": 1}
    world.answer(hold["job"])
    world.tell("flag_changed", **about, flag="hold", on=True)
    # On hold it gets the flags that it asked for, and nobody is told: it is as it was told.
    assert obey(world, room) == [flag.off.command for flag in (MUTED, DEAF) if flag.name not in flags]
    assert world.types() == ["conference.member.held"]
    assert state(world, session) == is_so("hold", "waiting", *flags)
    moderator(world, room)
    assert world.room(room)["begun"] is True
    assert obey(world, room) == ["unhold"]
    assert state(world, session) == is_so(*flags)
    told = [(kind, data["waiting"]) for kind, data in world.webhooks() if data.get("uuid") == session]
    assert told == [("conference.member.unheld", False)]
    world.overdue()
    assert world.types() == []
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))


def test_a_moderator_waits_for_nobody(world: World, room: str) -> None:
    first, second = moderator(world, room, 1), moderator(world, room, 2)
    assert [state(world, session) for session in (first, second)] == [is_so(), is_so()]
    assert obey(world, room) == []


def test_a_room_that_has_begun_stays_so_until_it_is_empty(world: World, room: str) -> None:
    first, second = moderator(world, room), join(world, room, 2)
    world.left(first, room, 99)
    third = join(world, room, 3)
    assert [state(world, session) for session in (second, third)] == [is_so(), is_so()]
    for session, number in ((second, 2), (third, 3)):
        world.left(session, room, number)
    assert world.room(room)["begun"] is False
    assert state(world, join(world, room, 4))["waiting"]


def test_one_who_arrives_after_the_moderator_is_let_in_at_once(world: World, room: str) -> None:
    session = join(world, room, confirmed=False)
    commands = world.sent()
    moderator(world, room)
    world.webhooks()
    world.answer(commands[0]["job"])
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted", "deaf"])
    assert obey(world, room) == ["unmute", "undeaf"]
    assert [(kind, data["waiting"]) for kind, data in world.webhooks()] == [("conference.member.joined", False)]
    assert state(world, session) == is_so()


@pytest.mark.parametrize("how", ["role", "option"])
def test_what_lets_them_in(world: World, room: str, how: str) -> None:
    sessions = crowd(world, room, 3)
    if how == "option":
        change(world, room, wait_for_moderator=False)
    else:
        asked = {"flags": [], "levels": [], "tags": "[]", "role": "moderator"}
        world.ask("change_member", room_id=room, session_id=sessions[0], **asked)
    assert obey(world, room) == ["unhold"] * 3
    assert [state(world, session) for session in sessions] == [is_so()] * 3


def test_who_is_in_the_room_does_not_wait_when_the_option_comes(world: World) -> None:
    room = world.create()
    session = join(world, room)
    change(world, room, wait_for_moderator=True)
    assert obey(world, room) == []
    assert state(world, session) == is_so()
    assert state(world, join(world, room, 2))["waiting"]


def test_who_is_taken_off_hold_waits_no_longer(world: World, room: str) -> None:
    session = join(world, room)
    obey(world, room)
    assert world.set_flag(session, HOLD, False, command_uid="u")["status"] == "unheld"
    world.webhooks()
    assert obey(world, room) == ["unhold"]
    ((kind, data),) = world.webhooks()
    assert (kind, data["command_uid"], data["waiting"]) == ("conference.member.unheld", "u", False)
    assert world.set_flag(session, HOLD, True)["status"] == "held"
    obey(world, room)
    moderator(world, room)
    assert obey(world, room) == []
    assert state(world, session) == is_so("hold")


@pytest.mark.parametrize("when", ["before the hold", "on hold"])
def test_flags_can_be_changed_meanwhile(world: World, room: str, when: str) -> None:
    session = join(world, room)
    if when == "on hold":
        obey(world, room)
    assert world.set_flag(session, MUTED, True, command_uid="m")["status"] == "muted"
    obey(world, room)
    assert state(world, session) == is_so("muted", "hold", "waiting")
    moderator(world, room)
    assert obey(world, room) == ["unhold"]
    assert state(world, session) == is_so("muted")


def alone(world: World, _room: str, session: str, flag: Flag, on: bool, uid: str) -> None:
    assert world.set_flag(session, flag, on, command_uid=uid)["status"] == flag.change(on).done


def by_patch(world: World, room: str, session: str, flag: Flag, on: bool, uid: str) -> None:
    asked = {"levels": [], "flags": [[flag.name, on]], "command_uid": uid}
    assert world.ask("change_member", room_id=room, session_id=session, **asked)["changing"] == [flag.name]


def of_all(world: World, room: str, _session: str, flag: Flag, on: bool, uid: str) -> None:
    assert world.flag_of_all(room, flag, on, operation_id=uid)["operation_id"] == uid


Asks = Callable[[World, str, str, Flag, bool, str], None]


@pytest.mark.parametrize("ask", [alone, by_patch, of_all])
@pytest.mark.parametrize("flag", [MUTED, DEAF])
@pytest.mark.parametrize("is_on", [False, True])
@pytest.mark.parametrize("is_refused", [False, True])
def test_nobody_is_heard_or_hears_before_the_hold(
    world: World, room: str, ask: Asks, flag: Flag, is_on: bool, is_refused: bool
) -> None:
    """Whatever is asked for: the node is told once it is on hold, or it is let in if it was not put on hold."""
    session = join(world, room, flags=[flag.name])
    (hold,) = world.sent()
    if is_refused:
        for _ in range(2):
            world.answer(hold["job"], ok=False, reason="refused", text="no")
            hold = (world.sent() or [hold])[0]
    world.webhooks()
    for step, on in enumerate((False, True, False)[: 3 - is_on]):
        uid = f"step {step}"
        ask(world, room, session, flag, on, uid)
        assert world.sent() == []
        told = world.webhooks()
        assert (told[0][0], told[0][1][flag.name]) == (flag.change(on).webhook, on)
        assert (told[0][1]["command_uid"], told[0][1]["waiting"]) == (uid, True)
        if ask is of_all:
            (_, (kind, finished)) = told
            assert (kind, finished["changed"], finished["failed"]) == ("conference.command.finished", 1, 0)
    assert state(world, session)[flag.name] is is_on
    if is_refused:
        moderator(world, room)
    else:
        world.answer(hold["job"])
        world.tell("flag_changed", session_id=session, room_id=room, member_id=1, flag="hold", on=True)
    left = [each.off.command for each in (MUTED, DEAF) if each is not flag or not is_on]
    assert obey(world, room) == ["unhold"] * is_refused + left
    on_hold = [] if is_refused else ["hold", "waiting"]
    assert state(world, session) == is_so(*on_hold, *[flag.name] * is_on)


def test_what_the_node_says_otherwise_meanwhile_is_told_and_so_is_its_end(world: World, room: str) -> None:
    """As a comparison finds it when the link is back before the flags are set."""
    session = join(world, room)
    (hold,) = world.sent()
    world.answer(hold["job"])
    about = {"session_id": session, "room_id": room, "member_id": 1}
    world.tell("flag_changed", **about, flag="hold", on=True)
    world.webhooks()
    world.tell("flag_changed", **about, flag="muted", on=True)
    assert obey(world, room) == ["unmute", "undeaf"]
    assert world.types() == ["conference.member.muted", "conference.member.unmuted"]
    assert state(world, session) == is_so("hold", "waiting")


def test_one_that_still_waits_for_its_music_is_let_in_without(world: World, room: str) -> None:
    change(world, room, hold_music=MUSIC)
    session = join(world, room)
    (entry,) = world.store.client.xrange(keys.key(world.tag, "commands", NODE))
    other = world.park(99)
    world.ask("join", session_id=other, room_id=room, flags=[], role="moderator")
    taken = [row for row in world.store.client.xrange(keys.key(world.tag, "commands", NODE)) if row != entry]
    world.tell("take", node=NODE, entries=[taken[0][0].decode()])
    world.webhooks()
    world.tell("member_joined", session_id=other, room_id=room, member_id=99, flags=[])
    assert obey(world, room) == ["unhold", "unmute", "undeaf"]
    assert [(kind, data["waiting"]) for kind, data in world.webhooks()] == [
        ("conference.member.joined", False),
        ("conference.member.unheld", False),
    ]
    assert state(world, session) == is_so()


def test_one_whose_hold_was_sent_is_let_in_after_it(world: World, room: str) -> None:
    session = join(world, room)
    (hold,) = world.sent()
    moderator(world, room)
    assert obey(world, room) == []
    world.answer(hold["job"])
    world.tell("flag_changed", session_id=session, room_id=room, member_id=1, flag="hold", on=True)
    assert obey(world, room) == ["unmute", "undeaf", "unhold"]
    assert state(world, session) == is_so()


@pytest.mark.parametrize("has_begun", [False, True])
def test_music_that_cannot_be_played(world: World, room: str, has_begun: bool) -> None:
    """Once the room has begun it is let in without more ado, and else it waits in silence."""
    change(world, room, hold_music=MUSIC)
    session = join(world, room)
    (hold,) = world.sent()
    if has_begun:
        moderator(world, room)
    world.webhooks()
    world.answer(hold["job"], ok=False, reason="not_found", http_status=404)
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["reason"], data["waiting"]) == (FAILED, "hold", "not_found", True)
    if has_begun:
        assert obey(world, room) == ["unhold", "unmute", "undeaf"]
        assert state(world, session) == is_so()
    else:
        (again,) = world.sent()
        assert (again["op"], again.get("url")) == ("hold", None)
        # If not even that is done, it is muted and deaf still, and let in all the same.
        world.answer(again["job"], ok=False, reason="refused", text="no")
        assert world.sent() == []
        moderator(world, room)
        assert obey(world, room) == ["unhold", "unmute", "undeaf"]
        assert state(world, session) == is_so()


def test_who_could_not_be_let_in_is_tried_again(world: World, room: str) -> None:
    session = join(world, room)
    obey(world, room)
    moderator(world, room)
    (unhold,) = world.sent()
    world.webhooks()
    world.answer(unhold["job"], ok=False, reason="node_unreachable")
    assert world.types() == []
    assert state(world, session) == is_so("hold", "waiting")
    world.overdue()
    assert obey(world, room) == ["unhold"]
    assert state(world, session) == is_so()


def test_a_crowd_is_let_in_some_at_a_time(world: World, room: str) -> None:
    sessions = crowd(world, room, CROWD)
    first = moderator(world, room)
    commands = world.sent()
    assert 0 < len(commands) < CROWD
    # The moderator's leaving holds up nothing, and neither does that of one who is to be let in.
    world.left(first, room, 99)
    for command in commands:
        world.left(command["session"], room, command["member_id"])
    obey(world, room)
    gone = {command["session"] for command in commands}
    assert all(state(world, session) == is_so() for session in sessions if session not in gone)
    assert not world.store.client.exists(keys.key(world.tag, "waiting", room))


def test_a_crowd_goes_on_when_no_event_comes(world: World, room: str) -> None:
    crowd(world, room, CROWD)
    moderator(world, room)
    counts = []
    while commands := world.sent():
        counts.append(len(commands))
        for command in commands:
            world.answer(command["job"])
        world.overdue(kind="let_in")
    assert sum(counts) == CROWD


def leave(world: World, room: str, session: str) -> None:
    world.left(session, room)


def delete(world: World, room: str, _: str) -> None:
    world.ask("delete_room", room_id=room)


def hang_up(world: World, _: str, session: str) -> None:
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")


@pytest.mark.parametrize("end", [leave, delete, hang_up])
def test_nothing_is_left_of_one_who_goes(world: World, room: str, end: Callable[[World, str, str], None]) -> None:
    session = join(world, room)
    end(world, room, session)
    if end is delete:
        world.left(session, room)
    else:
        world.ask("delete_room", room_id=room)
    while commands := world.sent():
        for command in commands:
            world.answer(command["job"])
    world.overdue()
    assert world.leftovers(room) == []
    if end is leave:
        other = world.create("other")
        again = world.ask("join", session_id=session, room_id=other, flags=[])
        assert "refused" not in again
        (command,) = world.sent()
        assert command["flags"] == ""


def test_on_two_nodes_and_when_the_room_moves(world: World, room: str) -> None:
    here, there = join(world, room), world.park(2, OTHER)
    obey(world, room)
    world.tell("member_joined", node=OTHER, session_id=there, room_id=room, member_id=2, flags=[])
    asked = {"flags": [], "levels": [], "tags": "[]", "role": "moderator"}
    world.ask("change_member", room_id=room, session_id=there, **asked)
    # The node of the one who waits is gone for the moment, and the room moves to the other.
    world.overdue(OTHER, down=(NODE,))
    world.age_legs(room)
    world.overdue(OTHER, down=(NODE,))
    assert world.room(room)["nodes"][0]["prefix"] == OTHER
    world.overdue(kind="job")
    assert state(world, here) == is_so("hold", "waiting")
    world.overdue(OTHER, kind="let_in")
    assert "unhold" in [command["op"] for command in world.sent()]


def test_who_was_stored_by_the_version_before_waits_for_nobody(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    change(world, room, wait_for_moderator=True)
    assert world.session(session)["waiting"] is False
    assert world.room(room)["begun"] is False
