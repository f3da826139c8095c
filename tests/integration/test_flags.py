"""Commands to change a member's flags: each that is accepted ends in a webhook of its own, as the store's scripts see it."""

from __future__ import annotations

import orjson
import pytest

from controller.sessions.flags import CHANGES, FLAGS, Flag
from controller.store import keys
from tests.integration.world import NODE, World

MUTED, DEAF, *_ = FLAGS
# Whose opposite may be pending at the same time.
TOGETHER = tuple(flag for flag in FLAGS if not flag.waits)
BY_COMMAND = {flag.change(on).command: (flag, on) for flag, on in CHANGES}


def test_mute_and_unmute(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    assert world.set_flag(session, MUTED, True)["refused"] == "already_muted"
    assert world.set_flag(session, MUTED, False, command_uid="u")["status"] == "unmuted"
    assert world.set_flag(session, MUTED, False)["refused"] == "unmute_pending"
    world.webhooks()
    (command,) = world.sent()
    world.tell("flag_changed", session_id=session, room_id=room, member_id=1, flag="muted", on=False)
    world.answer(command["job"])
    ((kind, data),) = world.webhooks()
    assert (kind, data["command_uid"], data["muted"]) == ("conference.member.unmuted", "u", False)
    # FreeSWITCH says so again for one that is so already (trace 03).
    world.tell("flag_changed", session_id=session, room_id=room, member_id=1, flag="muted", on=False)
    assert world.types() == []
    world.overdue()
    assert world.types() == []


@pytest.mark.parametrize("how", ["refused", "unconfirmed"])
def test_a_mute_that_fails(world: World, how: str) -> None:
    room = world.create()
    session = world.joined(room)
    world.set_flag(session, MUTED, False, command_uid="u")
    (command,) = world.sent()
    world.webhooks()
    if how == "refused":
        world.answer(command["job"], ok=False, reason="refused", text="no")
    else:
        world.answer(command["job"])
        world.overdue()
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["command_uid"]) == ("conference.command.failed", "unmute", "u")
    assert world.session(session)["muted"] is True
    assert world.set_flag(session, MUTED, True)["refused"] == "already_muted"


def test_what_is_pending_of_one_flag_says_nothing_of_another(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    assert world.set_flag(session, MUTED, False, command_uid="u")["status"] == "unmuted"
    assert world.set_flag(session, DEAF, True, command_uid="d")["status"] == "deafened"
    assert world.set_flag(session, MUTED, False)["refused"] == "unmute_pending"
    assert world.set_flag(session, DEAF, True)["refused"] == "deaf_pending"
    world.webhooks()
    member = {"session_id": session, "room_id": room, "member_id": 1}
    world.tell("flag_changed", **member, flag="deaf", on=True)
    world.tell("flag_changed", **member, flag="muted", on=False)
    told = [(kind, data["command_uid"], data["muted"], data["deaf"]) for kind, data in world.webhooks()]
    assert told == [
        ("conference.member.deafened", "d", True, True),
        ("conference.member.unmuted", "u", False, True),
    ]
    assert (world.session(session)["muted"], world.session(session)["deaf"]) == (False, True)


def test_each_flag_that_is_pending_fails_by_itself(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.set_flag(session, MUTED, False, command_uid="u")
    world.set_flag(session, DEAF, True, command_uid="d")
    world.webhooks()
    unmute, deaf = (command for command in world.sent() if command["op"] in ("unmute", "deaf"))
    world.answer(deaf["job"], ok=False, reason="refused", text="no")
    world.answer(unmute["job"])
    world.tell("flag_changed", session_id=session, room_id=room, member_id=1, flag="muted", on=False)
    failed, unmuted = world.webhooks()
    assert (failed[0], failed[1]["command"], failed[1]["command_uid"]) == ("conference.command.failed", "deaf", "d")
    assert (unmuted[0], unmuted[1]["command_uid"]) == ("conference.member.unmuted", "u")


class TwoPending:
    """A member with a pending command to change a flag, and its opposite behind it."""

    def __init__(self, world: World, flag: Flag, number: int = 1) -> None:
        self.world, self.flag, self.number = world, flag, number
        self.room = world.create(f"room{number}")
        self.session = world.joined(self.room, number)
        # A member joins with what the first changes.
        self.first, self.second = flag.change(not flag.joins), flag.change(flag.joins)
        self.uids = (f"first{number}", f"second{number}")

    def ask(self) -> TwoPending:
        for uid, on in zip(self.uids, (not self.flag.joins, self.flag.joins), strict=True):
            answer = self.world.set_flag(self.session, self.flag, on, command_uid=uid)
            assert answer["status"] == self.flag.change(on).done
        self.world.webhooks()
        return self

    def confirm(self, on: bool) -> None:
        member = {"session_id": self.session, "room_id": self.room, "member_id": self.number}
        self.world.tell("flag_changed", **member, flag=self.flag.name, on=on)

    def failed(self, reason: str) -> list[tuple[str, str, str]]:
        first, second = self.uids
        return [(self.first.command, first, reason), (self.second.command, second, reason)]


def failures(world: World) -> list[tuple[str, str, str]]:
    return [
        (data["command"], data["command_uid"], data["reason"])
        for kind, data in world.webhooks()
        if kind == "conference.command.failed"
    ]


@pytest.mark.parametrize("flag", TOGETHER)
def test_a_command_and_its_opposite_are_confirmed_each_by_itself(world: World, flag: Flag) -> None:
    two = TwoPending(world, flag).ask()
    for on in (True, False):
        refused = world.set_flag(two.session, flag, on)["refused"]
        assert refused == flag.change(on).refused_pending
    for on in (not flag.joins, flag.joins):
        two.confirm(on)
    told = [(kind, data["command_uid"], data[flag.name]) for kind, data in world.webhooks()]
    assert told == [(two.first.webhook, "first1", not flag.joins), (two.second.webhook, "second1", flag.joins)]
    for command in world.sent():
        world.answer(command["job"])
    world.overdue()
    assert world.types() == []


@pytest.mark.parametrize("refused", [0, 1])
@pytest.mark.parametrize("flag", TOGETHER)
def test_one_of_a_command_and_its_opposite_fails(world: World, flag: Flag, refused: int) -> None:
    two = TwoPending(world, flag).ask()
    world.answer(world.sent()[refused]["job"], ok=False, reason="refused", text="no")
    two.confirm(flag.joins if refused == 0 else not flag.joins)
    told = [(kind, data["command_uid"]) for kind, data in world.webhooks()]
    other = (two.second, two.first)[refused]
    assert told == [("conference.command.failed", two.uids[refused]), (other.webhook, two.uids[1 - refused])]
    world.overdue()
    assert world.types() == []


@pytest.mark.parametrize("flag", TOGETHER)
def test_what_is_pending_fails_before_its_member_is_out(world: World, flag: Flag) -> None:
    two = TwoPending(world, flag).ask()
    world.left(two.session, two.room)
    assert [(kind, data.get("command_uid")) for kind, data in world.webhooks()] == [
        ("conference.command.failed", "first1"),
        ("conference.command.failed", "second1"),
        ("conference.member.left", None),
    ]


@pytest.mark.parametrize("flag", TOGETHER)
def test_what_the_node_does_not_confirm_fails_in_order(world: World, flag: Flag) -> None:
    two = TwoPending(world, flag).ask()
    for command in world.sent():
        world.answer(command["job"])
    world.overdue()
    assert failures(world) == two.failed("not_confirmed")


@pytest.mark.parametrize("flag", TOGETHER)
def test_what_no_worker_takes_fails_in_order(world: World, flag: Flag) -> None:
    two = TwoPending(world, flag).ask()
    world.overdue()
    assert failures(world) == two.failed("node_unreachable")


def test_what_was_lost_with_the_link_fails_in_order(world: World) -> None:
    """What was sent is in no order in the store."""
    pairs = [TwoPending(world, flag, number) for number, flag in enumerate([*TOGETHER] * 4, start=1)]
    for two in pairs:
        two.ask()
    world.sent()
    while world.tell("jobs_lost")["more"]:
        pass
    found = failures(world)
    assert len(found) == 2 * len(pairs)
    for two in pairs:
        assert [failure for failure in found if failure[1] in two.uids] == two.failed("no_answer")


def test_however_many_commands_were_lost_with_the_link_each_is_found(world: World) -> None:
    """Of a large hash the store scans only so much at a time."""
    count, sent = 2000, keys.key(world.tag, "sent", NODE)
    command = orjson.dumps({"op": "kick_all", "app": "demo", "room": world.create()}).decode()
    world.store.client.hset(sent, mapping={f"{world.tag[1:-1]}-1795374235886-{i}": command for i in range(count)})
    for _ in range(count):
        if not world.tell("jobs_lost")["more"]:
            break
    assert not world.store.client.exists(sent)


@pytest.mark.parametrize("flag", TOGETHER)
def test_an_event_that_was_lost_costs_its_own_command_only(world: World, flag: Flag) -> None:
    two = TwoPending(world, flag).ask()
    two.confirm(flag.joins)
    ((kind, data),) = world.webhooks()
    assert (kind, data["command_uid"]) == (two.second.webhook, "second1")
    for command in world.sent():
        world.answer(command["job"])
    world.overdue()
    assert failures(world) == two.failed("not_confirmed")[:1]


# The field of version 0.1 or a later one for a pending command, the command, and the kind of its due item.
OLD_PENDING = [
    ("want", "mute", "mute"),
    ("want", "unmute", "mute"),
    ("pending_muted", "mute", "mute"),
    ("pending_muted", "unmute", "mute"),
    ("pending_deaf", "deaf", "deaf"),
    ("pending_deaf", "undeaf", "deaf"),
]


def pending_of_an_older_version(world: World, field: str, command: str, kind: str) -> str:
    """A member with such a command, to which the node has said that it will carry it out. -> the session."""
    flag, on = BY_COMMAND[command]
    room = world.create()
    session = world.park()
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=[] if on else [flag.name])
    world.set_flag(session, flag, on, command_uid="u")
    (sent,) = world.sent()
    key, due = keys.key(world.tag, "session", session), keys.key(world.tag, "due", NODE)
    world.store.client.hdel(key, f"pending_{command}_job", f"pending_{command}_uid")
    world.store.client.hset(key, mapping={field: command, f"{field}_job": sent["job"], f"{field}_uid": "u"})
    world.store.client.zadd(due, {f"{kind}:{session}": world.store.client.zscore(due, f"{command}:{session}")})
    if kind != command:
        world.store.client.zrem(due, f"{command}:{session}")
    world.answer(sent["job"])
    world.webhooks()
    return session


@pytest.mark.parametrize("old", OLD_PENDING, ids=" ".join)
def test_what_an_older_version_stored_as_pending_is_confirmed(world: World, old: tuple[str, str, str]) -> None:
    session = pending_of_an_older_version(world, *old)
    flag, on = BY_COMMAND[old[1]]
    room = world.session(session)["room_id"]
    assert world.set_flag(session, flag, on)["refused"] == flag.change(on).refused_pending
    assert world.set_flag(session, flag, not on, command_uid="opposite")["status"]
    for turned in (on, not on):
        world.tell("flag_changed", session_id=session, room_id=room, member_id=1, flag=flag.name, on=turned)
    assert [data["command_uid"] for _, data in world.webhooks()] == ["u", "opposite"]


@pytest.mark.parametrize("old", OLD_PENDING, ids=" ".join)
def test_what_an_older_version_stored_as_pending_is_overdue(world: World, old: tuple[str, str, str]) -> None:
    session = pending_of_an_older_version(world, *old)
    world.overdue()
    assert failures(world) == [(old[1], "u", "not_confirmed")]
    stored = world.store.client.hkeys(keys.key(world.tag, "session", session))
    assert not [name for name in stored if name.startswith((b"pending", b"want"))]
    assert world.store.client.zcard(keys.key(world.tag, "due", NODE)) == 0
