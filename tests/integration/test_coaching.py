"""A member that coaches another one: who is related to it on the node, and who is told, as the store's scripts see it."""

from __future__ import annotations

from typing import Any

import pytest

from controller.sessions.flags import FLAGS
from controller.store import keys
from esl import commands as esl
from tests.integration.fake_link import DrivenNode, Wire
from tests.integration.world import NODE, World, channel

FAILED = "conference.command.failed"
OTHER = "bcX79"
CROWD = 250  # more than a command can relate


class Related:
    """A room with a coach, 1, and those who are heard, as the node has them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.room = world.create()
        self.coach = world.joined(self.room, 1)
        self.coached = world.joined(self.room, 2)
        self.other = world.joined(self.room, 3)
        # By whom each member is not heard, by the member ids.
        self.unheard_by: dict[int, set[int]] = {}
        self.left: set[int] = set()
        world.webhooks()

    def do(self, command: dict[str, Any]) -> None:
        """As the node does it."""
        by = self.unheard_by.setdefault(command["member_id"], set())
        if command["how"] == "nospeak":
            by |= set(command["others"]) - self.left
        elif command["others"] == [0]:
            by.clear()
        else:
            by -= set(command["others"])

    def obey(self, node: str = NODE) -> list[str]:
        """The node does all that it is told. Returns the ops."""
        told = []
        while commands := self.world.sent(node):
            for command in commands:
                told.append(command["op"])
                if command["op"] == "relate":
                    self.do(command)
                self.world.answer_on(node, command)
                for flag in FLAGS[:2]:
                    for on in (True, False):
                        if flag.change(on).command == command["op"]:
                            about = {"session_id": command["session"], "room_id": self.room, "flag": flag.name}
                            self.world.tell("flag_changed", **about, member_id=command["member_id"], on=on)
        return told

    def begin(self, coached: str | None = None, **more: Any) -> None:
        answer = self.world.coach(self.coach, coached or self.coached, **more)
        assert answer == {"status": "coaching", "room_id": self.room}
        self.obey()

    def come(self, number: int, node: str = NODE, flags: tuple[str, ...] = ()) -> str:
        """Another session asks to join, and the node has it as it was told."""
        session = self.world.park(number, node)
        assert "refused" not in self.world.ask("join", session_id=session, room_id=self.room, flags=list(flags))
        self.arrive(session, number, node)
        return session

    def arrive(self, session: str, number: int, node: str = NODE) -> list[str]:
        joins = [command for command in self.world.sent(node) if command["op"] == "join"]
        asked = joins[0]["flags"].split() if joins else []
        for command in joins:
            self.world.answer_on(node, command)
        flags = [name for verb, name in (("mute", "muted"), ("deaf", "deaf")) if verb in asked]
        about = {"session_id": session, "room_id": self.room, "member_id": number}
        self.world.tell("member_joined", node=node, **about, flags=flags)
        return flags

    def show(self, session: str) -> Any:
        return self.world.session(session)["coaching"]


@pytest.fixture
def room(world: World) -> Related:
    return Related(world)


def is_clean(world: World, room: Related) -> bool:
    """Whether nothing is expected of the node, and nothing is left of who coaches."""
    due = keys.key(world.tag, "due", NODE)
    left = (keys.key(world.tag, "coaches", room.room), keys.key(world.tag, "unrelated", room.coach), due)
    return not world.store.client.exists(*left)


def lose_results(world: World, count: int) -> None:
    """As when the link is lost with so many relations on their way."""
    sent = world.sent()
    assert [command["op"] for command in sent] == ["relate"] * count
    for command in sent:
        world.answer(command["job"], ok=False, reason="no_answer")


def test_one_member_alone_hears_a_coach(world: World, room: Related) -> None:
    assert world.coach(room.coach, room.coached, command_uid="c", trace="t1")["status"] == "coaching"
    assert room.show(room.coach) is None
    sent = world.sent()
    assert [(one["op"], one["member_id"], one["how"]) for one in sent] == [
        ("relate", 1, "nospeak"), ("relate", 1, "clear"),
    ]  # fmt: skip
    assert (sent[0]["others"], sent[1]["others"]) == ([3], [2])
    world.answer(sent[0]["job"])
    assert world.types() == []
    world.answer(sent[1]["job"])
    ((kind, data),) = world.webhooks()
    assert (kind, data["uuid"], data["coaching"], data["command_uid"]) == (
        "conference.member.coaching", room.coach, room.coached, "c",
    )  # fmt: skip
    assert room.show(room.coach) == room.coached
    assert room.show(room.coached) is None


def test_it_is_heard_by_all_again(world: World, room: Related) -> None:
    room.begin()
    assert room.unheard_by == {1: {3}}
    world.webhooks()
    assert world.ask("uncoach", session_id=room.coach, command_uid="u")["status"] == "uncoached"
    assert room.show(room.coach) == room.coached
    room.obey()
    ((kind, data),) = world.webhooks()
    assert (kind, data["coaching"], data["command_uid"]) == ("conference.member.uncoached", None, "u")
    assert room.unheard_by == {1: set()}
    assert room.show(room.coach) is None
    assert is_clean(world, room)


def test_it_coaches_another_one(world: World, room: Related) -> None:
    room.begin()
    world.webhooks()
    assert world.coach(room.coach, room.other)["status"] == "coaching"
    # The one that heard it does not before the other does.
    sent = world.sent()
    assert [command["how"] for command in sent] == ["nospeak", "clear"]
    for command in sent:
        room.do(command)
        world.answer(command["job"])
    assert room.unheard_by == {1: {2}}
    assert [(kind, data["coaching"]) for kind, data in world.webhooks()] == [
        ("conference.member.coaching", room.other),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("whom", "code"),
    [("itself", "coached_not_member"), ("nobody", "coached_not_member"), ("parked", "coached_not_member"),
     ("leaving", "coached_not_member"), ("elsewhere", "coached_not_member"), ("far", "coached_on_other_node"),
     ("another app's", "coached_not_member")],
)  # fmt: skip
def test_whom_nobody_can_coach(world: World, room: Related, whom: str, code: str) -> None:
    parked, far = world.park(8), world.park(9, OTHER)
    if whom == "leaving":
        world.ask("leave", session_id=room.coached)
    if whom == "elsewhere":
        world.joined(world.create("another"), 7)
    if whom == "far":
        world.tell("member_joined", node=OTHER, session_id=far, room_id=room.room, member_id=9, flags=[])
    other_app = World(world.store, "other-app")
    sessions = {
        "itself": room.coach, "nobody": f"{NODE}-nobody", "parked": parked, "leaving": room.coached,
        "elsewhere": world.park(7), "far": far, "another app's": other_app.park(20),
    }  # fmt: skip
    world.sent()
    assert world.coach(room.coach, sessions[whom])["refused"] == code
    assert world.sent() == []
    assert room.show(room.coach) is None


def test_what_else_is_refused(world: World, room: Related) -> None:
    uncoach = {"session_id": room.coach}
    assert world.ask("uncoach", **uncoach)["refused"] == "not_coaching"
    assert world.coach(world.park(8), room.coached)["refused"] == "not_in_room"
    world.coach(room.coach, room.coached)
    assert world.coach(room.coach, room.other)["refused"] == "coach_pending"
    assert world.ask("uncoach", **uncoach)["refused"] == "coach_pending"
    room.obey()
    assert world.coach(room.coach, room.coached)["refused"] == "already_coaching"
    world.ask("uncoach", **uncoach)
    assert world.ask("uncoach", **uncoach)["refused"] == "coach_pending"
    room.obey()
    assert world.ask("uncoach", **uncoach)["refused"] == "not_coaching"


def test_so_many_may_coach_in_a_room(world: World, room: Related) -> None:
    room.begin()
    others = [room.come(number) for number in range(10, 20)]
    room.obey()
    for session in others[:-1]:
        assert world.coach(session, room.coached)["status"] == "coaching"
        room.obey()
    assert world.coach(others[-1], room.coached)["refused"] == "too_many_coaches"
    assert world.coach(others[0], room.other)["status"] == "coaching"
    room.obey()
    world.ask("uncoach", session_id=others[0])
    room.obey()
    assert world.coach(others[-1], room.coached)["status"] == "coaching"


def test_a_command_uid_stands_for_whom(world: World, room: Related) -> None:
    room.begin(command_uid="c", body=room.coached)
    again = world.coach(room.coach, room.coached, command_uid="c", body=room.coached)
    assert again["status"] == "coaching"
    assert world.sent() == []
    refused = world.coach(room.coach, room.other, command_uid="c", body=room.other)
    assert refused["refused"] == "command_uid_taken"


@pytest.mark.parametrize("flags", [(), ("muted",), ("muted", "deaf")])
def test_who_joins_hears_no_word_before_it_is_related(world: World, room: Related, flags: tuple[str, ...]) -> None:
    room.begin()
    session = world.park(4)
    world.webhooks()
    world.ask("join", session_id=session, room_id=room.room, flags=list(flags))
    assert room.arrive(session, 4) == ["muted", "deaf"]
    sent = world.sent()
    assert [(one["op"], one["others"]) for one in sent] == [("relate", [4])]
    assert world.coach(room.coach, room.other)["refused"] == "coach_pending"
    room.do(sent[0])
    world.answer(sent[0]["job"])
    assert room.obey() == [command for name, command in (("muted", "unmute"), ("deaf", "undeaf")) if name not in flags]
    assert room.unheard_by == {1: {3, 4}}
    found = world.session(session)
    assert (found["muted"], found["deaf"]) == ("muted" in flags, "deaf" in flags)
    assert world.types() == ["conference.member.joined"]


def test_who_was_on_its_way_is_related_before_it_is_told(world: World, room: Related) -> None:
    session = world.park(4)
    world.ask("join", session_id=session, room_id=room.room, flags=[])
    (join,) = world.sent()
    world.coach(room.coach, room.coached)
    room.obey()
    assert "conference.member.coaching" not in world.types()
    world.answer(join["job"])
    world.tell("member_joined", session_id=session, room_id=room.room, member_id=4, flags=[])
    assert "conference.member.coaching" not in world.types()
    assert room.obey() == ["relate"]
    assert world.types() == ["conference.member.coaching"]
    assert room.unheard_by == {1: {3, 4}}


def test_who_was_on_its_way_and_does_not_come_is_not_waited_for(world: World, room: Related) -> None:
    session = world.park(4)
    world.ask("join", session_id=session, room_id=room.room, flags=[])
    (join,) = world.sent()
    world.coach(room.coach, room.coached)
    room.obey()
    world.answer(join["job"], ok=False, reason="hangup")
    world.overdue(kind="relate")
    assert world.types()[-1] == "conference.member.coaching"


def test_many_are_related_by_several_commands(world: World, room: Related) -> None:
    for number in range(10, 10 + CROWD):
        session = world.park(number)
        about = {"session_id": session, "room_id": room.room, "member_id": number}
        world.tell("member_joined", **about, flags=[])
    world.webhooks()
    world.coach(room.coach, room.coached)
    sent = world.sent()
    assert [len(command["others"]) for command in sent] == [100, 100, 51, 1]
    for command in sent[1:]:
        world.answer(command["job"])
    assert world.types() == []
    world.answer(sent[0]["job"])
    assert world.types() == ["conference.member.coaching"]


def test_one_that_has_just_left_is_no_failure(world: World, room: Related) -> None:
    world.coach(room.coach, room.coached)
    for command in world.sent():
        world.answer(command["job"], ok=False, reason="no_member")
    assert world.types() == ["conference.member.coaching"]


def test_nobody_hears_a_coach_whose_member_has_left_until_that_one_is_back(world: World, room: Related) -> None:
    room.begin()
    world.webhooks()
    world.left(room.coached, room.room, 2, cause="NORMAL_CLEARING")
    assert room.show(room.coach) == room.coached
    room.come(4)
    room.obey()
    assert room.unheard_by == {1: {3, 4}}
    world.ask("join", session_id=room.coached, room_id=room.room, flags=[])
    assert room.arrive(room.coached, 2) == ["muted", "deaf"]
    room.obey()
    assert room.unheard_by == {1: {3, 4}}
    assert world.session(room.coached)["deaf"] is False


@pytest.mark.parametrize("how", ["leaves", "hangs up", "is gone with its room"])
def test_a_coach_that_is_out_coaches_nobody(world: World, room: Related, how: str) -> None:
    room.begin()
    session = room.come(4)
    world.webhooks()
    if how == "hangs up":
        world.tell("session_ended", session_id=room.coach, cause="NORMAL_CLEARING")
    elif how == "leaves":
        world.left(room.coach, room.room, 1)
    else:
        world.ask("delete_room", room_id=room.room)
        for number, gone in enumerate((room.coach, room.coached, room.other, session), 1):
            world.left(gone, room.room, number)
    if how != "is gone with its room":
        # Who waited until it is related does not any more.
        assert room.obey()[1:] == ["unmute", "undeaf"]
        assert world.session(session)["deaf"] is False
        room.come(5)
        assert world.session(world.park(5))["deaf"] is False
    if how == "leaves":
        world.ask("join", session_id=room.coach, room_id=room.room)
        room.arrive(room.coach, 1)
        assert room.show(room.coach) is None
        assert room.obey() == []
    assert not world.store.client.exists(keys.key(world.tag, "coaches", room.room))


def test_what_is_pending_fails_when_the_coach_leaves(world: World, room: Related) -> None:
    world.coach(room.coach, room.coached, command_uid="c")
    world.left(room.coach, room.room, 1)
    (kind, failed), (left, _) = world.webhooks()
    assert (kind, failed["command"], failed["command_uid"], failed["reason"]) == (FAILED, "coach", "c", "no_member")
    assert left == "conference.member.left"
    assert room.obey() == ["relate", "relate"]
    assert world.types() == []
    assert is_clean(world, room)


@pytest.mark.parametrize("reason", ["refused", "node_unreachable"])
def test_a_coach_that_the_node_does_not_make_one_is_heard_by_all(world: World, room: Related, reason: str) -> None:
    world.coach(room.coach, room.coached, command_uid="c")
    sent = world.sent()
    room.do(sent[0])
    world.answer(sent[0]["job"], ok=False, reason=reason)
    ((kind, failed),) = world.webhooks()
    assert (kind, failed["command"], failed["command_uid"], failed["reason"]) == (FAILED, "coach", "c", reason)
    assert failed["coaching"] is None
    world.answer(sent[1]["job"])
    (undo,) = world.sent()
    assert undo["others"] == [0]
    # That is tried until it is so.
    world.answer(undo["job"], ok=False, reason=reason)
    assert world.coach(room.coach, room.coached)["refused"] == "coach_pending"
    world.overdue(kind="relate")
    assert room.obey() == ["relate"]
    assert room.unheard_by == {1: set()}
    assert world.types() == []
    assert is_clean(world, room)


def test_a_change_that_fails_leaves_it_with_the_one_before(world: World, room: Related) -> None:
    room.begin()
    world.webhooks()
    world.coach(room.coach, room.other)
    hidden, heard = world.sent()
    room.do(hidden)
    world.answer(hidden["job"])
    world.answer(heard["job"], ok=False, reason="refused")
    assert world.types() == [FAILED]
    room.obey()
    assert room.show(room.coach) == room.coached
    assert room.unheard_by == {1: {3}}
    assert world.types() == []


def test_an_end_that_fails_leaves_it_as_it_was(world: World, room: Related) -> None:
    room.begin()
    world.webhooks()
    world.ask("uncoach", session_id=room.coach, command_uid="u")
    (sent,) = world.sent()
    room.do(sent)
    # Who comes meanwhile would hear it soon.
    room.come(4)
    world.webhooks()
    world.answer(sent["job"], ok=False, reason="refused")
    ((kind, failed),) = world.webhooks()
    assert (kind, failed["command"], failed["coaching"]) == (FAILED, "uncoach", room.coached)
    room.obey()
    assert room.unheard_by == {1: {3, 4}}


def test_a_result_that_was_lost_is_asked_for_once_more(world: World, room: Related) -> None:
    """With the link all of a command's are lost: of who is not to hear the coach, and of who is."""
    world.coach(room.coach, room.coached, command_uid="c")
    lose_results(world, 2)
    assert (world.sent(), world.types()) == ([], [])
    world.overdue(kind="relate")
    assert room.obey() == ["relate", "relate"]
    assert world.types() == ["conference.member.coaching"]
    assert room.unheard_by == {1: {3}}


def test_a_result_that_is_lost_twice_is_not_asked_for_any_more(world: World, room: Related) -> None:
    world.coach(room.coach, room.coached, command_uid="c")
    lose_results(world, 2)
    world.overdue(kind="relate")
    lose_results(world, 2)
    ((kind, failed),) = world.webhooks()
    assert (kind, failed["command"], failed["command_uid"], failed["reason"]) == (FAILED, "coach", "c", "no_answer")


def test_that_a_newcomers_result_was_lost_does_not_count_for_the_next_command(world: World, room: Related) -> None:
    room.begin()
    room.come(4)
    lose_results(world, 1)
    world.overdue(kind="relate")
    room.obey()
    world.webhooks()
    world.ask("uncoach", session_id=room.coach)
    lose_results(world, 1)
    assert world.types() == []
    world.overdue(kind="relate")
    room.obey()
    assert world.types() == ["conference.member.uncoached"]


def test_a_newcomer_is_related_in_the_end(world: World, room: Related) -> None:
    room.begin()
    session = room.come(4)
    for _ in range(3):
        (relate,) = world.sent()
        world.answer(relate["job"], ok=False, reason="node_unreachable")
        assert world.sent() == []
        world.overdue(kind="relate")
    assert room.obey() == ["relate", "unmute", "undeaf"]
    assert world.session(session)["deaf"] is False
    assert room.unheard_by == {1: {3, 4}}


def test_two_coaches_at_once(world: World, room: Related) -> None:
    room.begin()
    assert world.coach(room.other, room.coached)["status"] == "coaching"
    room.obey()
    assert room.unheard_by == {1: {3}, 3: {1}}
    session = room.come(4)
    first, second = world.sent()
    for command in (first, second):
        assert world.session(session)["deaf"] is False
        room.do(command)
    world.answer(first["job"])
    assert world.sent() == []
    world.answer(second["job"])
    assert room.obey() == ["unmute", "undeaf"]
    assert room.unheard_by == {1: {3, 4}, 3: {1, 4}}


def test_a_member_that_is_on_another_node_is_reached_by_its_leg(world: World, room: Related) -> None:
    room.begin()
    far = world.park(9, OTHER)
    world.ask("join", session_id=far, room_id=room.room, flags=[])
    (announce,) = world.sent()
    world.answer(announce["job"])
    (dial,) = world.sent(OTHER)
    world.answer_on(OTHER, dial)
    for node, number in ((OTHER, 90), (NODE, 91)):
        world.tell("leg_joined", node=node, leg=announce["leg"], room_id=room.room, member_id=number)
    (relate,) = world.sent()
    assert (relate["op"], relate["others"]) == ("relate", [91])
    room.do(relate)
    world.answer(relate["job"])
    room.arrive(far, 9, OTHER)
    assert [command["op"] for command in world.sent(OTHER)] == ["unmute", "undeaf"]
    # The leg is related also when the coach begins later.
    world.ask("uncoach", session_id=room.coach)
    room.obey()
    room.begin()
    assert room.unheard_by == {1: {3, 91}}


def test_relations_that_were_lost_are_set_anew(world: World, room: Related) -> None:
    room.begin()
    world.webhooks()
    room.unheard_by.clear()
    world.tell("relations_lost", session_id=room.coach, resynced=True)
    # What is on its way need not be told twice.
    world.tell("relations_lost", session_id=room.coach)
    assert room.obey() == ["relate", "relate"]
    assert room.unheard_by == {1: {3}}
    assert world.types() == []


@pytest.mark.parametrize("lost", [True, False])
def test_a_link_that_comes_up_finds_relations_that_were_lost(
    world: World, room: Related, node: DrivenNode, lost: bool
) -> None:
    room.begin()
    flags = dict.fromkeys(("can_speak", "can_hear", "hold"), False) | {"can_hear": True}
    members = [{"uuid": channel(number), "id": str(number), "flags": flags} for number in (1, 2, 3)]
    rows = [
        {"uuid": channel(number), "direction": "inbound", "initial_dest": "747713001", "cid_num": "1", "ip_addr": "::1",
         "application": "conference", "initial_dialplan": "XML", "name": "sofia/public/1"}
        for number in (1, 2, 3)
    ]  # fmt: skip
    wire = Wire(*rows, members=[{"conference_name": room.room, "members": members}])
    wire.answers["Relations"] = "+OK No relationships\n" if lost else "1 -> 3 NOSPEAK HEAR NOSENDVIDEO \n"
    node.link.up(wire)
    assert esl.Relations(room.room, 1) in wire.asked
    told = [command for command in wire.sent if isinstance(command, esl.Relate)]
    wanted = [esl.Relate(room.room, 1, [3], "nospeak"), esl.Relate(room.room, 1, [2], "clear")]
    assert told == (wanted if lost else [])
