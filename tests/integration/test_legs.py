"""A room on several nodes, by the store's steps: its legs, the sessions that wait for them, and its move to another node."""

from __future__ import annotations

from typing import Any

import pytest

from controller.nodes.node_worker import NodeUp
from controller.nodes.removal import end_all_on
from controller.store import keys
from tests.integration.world import NODE, NODES, World

_, OTHER, THIRD = NODES


def ops(commands: list[dict[str, Any]]) -> list[str]:
    return [command["op"] for command in commands]


def dialled(world: World, node: str = OTHER, source: str = NODE) -> str:
    """Has the source told of the leg and the node dial it. Returns its id."""
    announced = world.sent(source)
    assert ops(announced) == ["announce_leg"]
    world.answer_on(source, announced[0])
    (dial,) = world.sent(node)
    assert (dial["op"], dial["source"], dial["leg"]) == ("dial_leg", source, announced[0]["leg"])
    world.answer_on(node, dial)
    return str(dial["leg"])


def leg_up(world: World, room: str, node: str = OTHER, source: str = NODE) -> str:
    """A leg that both nodes have as a member."""
    leg = dialled(world, node, source)
    world.tell("leg_joined", node=source, leg=leg, room_id=room, member_id=90)
    world.tell("leg_joined", node=node, leg=leg, room_id=room, member_id=91)
    return leg


def member(world: World, room: str, number: int, node: str = OTHER) -> str:
    """A member of the room on a node that has a leg already."""
    session = world.park(number, node)
    world.ask("join", session_id=session, room_id=room)
    for command in world.sent(node):
        world.answer_on(node, command)
    world.tell("member_joined", node=node, session_id=session, room_id=room, member_id=number, flags=["muted"])
    return session


def bridges(world: World, room: str) -> dict[str, str]:
    return {node["prefix"]: node["bridge"] for node in world.room(room)["nodes"]}


@pytest.fixture
def room(world: World) -> str:
    room = world.create()
    world.webhooks()
    return room


@pytest.fixture
def spanning(world: World, room: str) -> str:
    """A room with member 1 on its source, and member 2 on the other node."""
    world.joined(room, 1)
    session = world.park(2, OTHER)
    world.ask("join", session_id=session, room_id=room)
    leg_up(world, room)
    for command in world.sent(OTHER):
        world.answer_on(OTHER, command)
    world.tell("member_joined", node=OTHER, session_id=session, room_id=room, member_id=2, flags=["muted"])
    world.webhooks()
    return room


def test_the_leg_is_up_before_the_session_joins(world: World, room: str) -> None:
    session = world.park(1, OTHER)
    world.webhooks()
    assert world.ask("join", session_id=session, room_id=room)["status"] == "joining"
    leg = dialled(world)
    assert bridges(world, room) == {NODE: "source", OTHER: "dialing"}
    world.tell("leg_joined", node=NODE, leg=leg, room_id=room, member_id=90)
    assert world.sent(OTHER) == []
    world.tell("leg_joined", node=OTHER, leg=leg, room_id=room, member_id=91)
    assert bridges(world, room) == {NODE: "source", OTHER: "connected"}
    assert ops(world.sent(OTHER)) == ["join"]
    world.tell("member_joined", node=OTHER, session_id=session, room_id=room, member_id=1, flags=["muted"])
    assert world.types() == ["conference.member.joined"]
    assert world.room(room)["members"] == 1
    assert world.room(room)["nodes"] == [
        {"prefix": NODE, "members": 0, "bridge": "source"},
        {"prefix": OTHER, "members": 1, "bridge": "connected"},
    ]
    assert [row["node"] for row in world.ask("list_members", room_id=room, after=0, limit=10)["rows"]] == [OTHER]


def test_two_joins_from_a_new_node_make_one_leg(world: World, room: str) -> None:
    sessions = [world.park(number, OTHER) for number in (1, 2)]
    for session in sessions:
        world.ask("join", session_id=session, room_id=room)
    leg_up(world, room)
    assert [command["session"] for command in world.sent(OTHER)] == sessions


@pytest.mark.parametrize("fault", ["source", "node", "silent", "left"])
def test_joins_fail_with_a_leg_that_does_not_come_up(world: World, room: str, fault: str) -> None:
    session = world.park(1, OTHER)
    world.webhooks()
    world.ask("join", session_id=session, room_id=room, command_uid="u1")
    if fault == "source":
        world.answer_on(NODE, world.sent()[0], ok=False, reason="refused", text="-ERR no")
    elif fault == "node":
        world.answer_on(NODE, world.sent()[0])
        world.answer_on(OTHER, world.sent(OTHER)[0], ok=False, reason="refused", text="-ERR NO_ANSWER")
    elif fault == "silent":
        dialled(world)
        world.overdue(OTHER)
    else:
        leg = dialled(world)
        world.tell("leg_joined", node=OTHER, leg=leg, room_id=room, member_id=91)
        world.tell("leg_left", node=OTHER, leg=leg, room_id=room, cause="MEDIA_TIMEOUT")
    (failed,) = world.webhooks()
    assert failed[0] == "conference.member.join_failed"
    cause = {"node": "NO_ANSWER", "left": "MEDIA_TIMEOUT"}.get(fault)
    assert (failed[1]["reason"], failed[1].get("cause"), failed[1]["command_uid"]) == ("bridge_failed", cause, "u1")
    assert world.session(session)["state"] == "parked"
    # Nobody needs it any more: neither node keeps anything of it.
    assert bridges(world, room) == {NODE: "source"}
    assert ops(world.sent(OTHER)) == ["hang_up_leg"]
    assert ops(world.sent()) == ["withdraw_leg"]


def waiting(world: World, room: str, count: int, first: int = 1) -> list[str]:
    """Sessions whose joins wait for a leg."""
    sessions = [world.park(number, OTHER) for number in range(first, first + count)]
    for session in sessions:
        world.ask("join", session_id=session, room_id=room)
    world.webhooks()
    return sessions


def test_many_that_wait_for_a_leg_join_in_parts(world: World, room: str) -> None:
    sessions = waiting(world, room, 60)
    leg_up(world, room)
    joined = [command["session"] for command in world.sent(OTHER)]
    assert joined == sessions[:25]
    assert world.tell("overdue", node=OTHER)["more"]
    while world.tell("overdue", node=OTHER)["more"]:
        pass
    assert [*joined, *(command["session"] for command in world.sent(OTHER))] == sessions


def test_many_joins_fail_in_parts_with_their_leg(world: World, room: str) -> None:
    sessions = waiting(world, room, 25)
    world.answer_on(NODE, world.sent()[0], ok=False, reason="refused", text="-ERR no")
    assert world.types() == ["conference.member.join_failed"] * 10
    # What comes meanwhile ends with them.
    sessions.append(world.park(26, OTHER))
    world.ask("join", session_id=sessions[-1], room_id=room)
    while world.tell("overdue", node=OTHER)["more"]:
        pass
    failed = [data for kind, data in world.webhooks() if kind == "conference.member.join_failed"]
    assert [data["uuid"] for data in failed] == sessions[10:]
    assert {data["reason"] for data in failed} == {"bridge_failed"}
    assert bridges(world, room) == {NODE: "source"}


def test_many_that_wait_for_a_leg_fail_in_parts_with_their_room(world: World, room: str) -> None:
    sessions = waiting(world, room, 25)
    world.ask("delete_room", room_id=room)
    assert world.types().count("conference.member.join_failed") == 10
    while world.tell("overdue", node=OTHER)["more"]:
        pass
    told = [data["reason"] for kind, data in world.webhooks() if kind == "conference.member.join_failed"]
    assert told == ["room_destroyed"] * 15
    assert {world.session(session)["state"] for session in sessions} == {"parked"}
    assert world.room(room) == {"refused": "room_not_found"}


def test_a_new_leg_needs_nodes_that_take_rooms(world: World, room: str) -> None:
    session = world.park(1, OTHER)
    world.nodes[NODE] = {"up": True, "open": False}
    assert world.ask("join", session_id=session, room_id=room)["refused"] == "other_node"
    world.nodes[NODE]["open"], world.nodes[OTHER]["open"] = True, False
    assert world.ask("join", session_id=session, room_id=room)["refused"] == "other_node"
    del world.nodes[NODE]
    refused = world.ask("join", session_id=session, room_id=room)
    assert (refused["refused"], refused["detail"]) == ("unknown_node", {"node": NODE})
    assert world.sent() == world.sent(OTHER) == []


def test_a_leg_without_sessions_goes_after_a_while(world: World, spanning: str) -> None:
    (session,) = [row["session_id"] for row in world.ask("list_sessions", after=0, limit=10, room=spanning)["rows"]][1:]
    world.left(session, spanning, 2)
    world.tell("overdue", node=OTHER)
    assert bridges(world, spanning)[OTHER] == "connected"
    world.overdue(OTHER)
    assert ops(world.sent(OTHER)) == ["hang_up_leg"]
    assert bridges(world, spanning) == {NODE: "source"}
    assert world.room(spanning)["members"] == 1


def test_only_a_leg_that_is_dialled_can_be_late(world: World, spanning: str) -> None:
    (session,) = [row["session_id"] for row in world.ask("list_sessions", after=0, limit=10, room=spanning)["rows"]][1:]
    world.left(session, spanning, 2)
    assert world.due(OTHER, f"leg:{spanning}")
    assert not world.tell("overdue", node=OTHER)["late"]
    third = world.park(3, THIRD)
    world.ask("join", session_id=third, room_id=spanning)
    leg_due = keys.key(world.tag, "due", THIRD)
    world.store.client.zadd(leg_due, {f"leg:{spanning}": world.now() + 7000})
    assert world.tell("overdue", node=THIRD)["late"]


def test_a_session_that_comes_meanwhile_keeps_the_leg(world: World, spanning: str) -> None:
    (session,) = [row["session_id"] for row in world.ask("list_sessions", after=0, limit=10, room=spanning)["rows"]][1:]
    world.left(session, spanning, 2)
    member(world, spanning, 3)
    world.overdue(OTHER)
    assert world.sent(OTHER) == []
    assert bridges(world, spanning)[OTHER] == "connected"


def test_a_join_that_waits_in_vain_for_a_leg_says_so(world: World, spanning: str) -> None:
    (row,) = world.tell("snapshot", node=OTHER, what="rooms", cursor="0")["rows"]
    world.tell("leg_left", node=OTHER, leg=row["legs"][0]["id"], room_id=spanning, cause="MEDIA_TIMEOUT")
    world.ask("join", session_id=world.park(3, OTHER), room_id=spanning)
    world.webhooks()
    world.overdue(OTHER, kind="join")
    (failed,) = world.webhooks()
    assert failed[0] == "conference.member.join_failed"
    assert (failed[1]["reason"], failed[1]["cause"]) == ("bridge_failed", "MEDIA_TIMEOUT")


def test_a_leg_that_breaks_is_dialled_again_and_its_members_stay(world: World, spanning: str) -> None:
    leg = next(row for row in world.tell("snapshot", what="rooms", cursor="0")["rows"])["legs"][0]["id"]
    world.tell("leg_left", node=NODE, leg=leg, room_id=spanning, cause="MEDIA_TIMEOUT")
    world.tell("leg_left", node=OTHER, leg=leg, room_id=spanning, cause="MEDIA_TIMEOUT")
    assert bridges(world, spanning)[OTHER] == "down"
    assert world.room(spanning)["members"] == 2
    assert world.types() == []
    assert ops(world.sent(OTHER)) == ["hang_up_leg"]
    world.overdue(OTHER)
    again = leg_up(world, spanning)
    assert again != leg
    assert bridges(world, spanning)[OTHER] == "connected"


def test_late_events_of_an_old_leg_change_nothing(world: World, spanning: str) -> None:
    old = next(row for row in world.tell("snapshot", what="rooms", cursor="0")["rows"])["legs"][0]["id"]
    world.tell("leg_left", node=NODE, leg=old, room_id=spanning, cause="MEDIA_TIMEOUT")
    world.sent(OTHER)
    world.overdue(OTHER)
    leg_up(world, spanning)
    assert world.tell("leg_left", node=OTHER, leg=old, room_id=spanning, cause="") == {"known": True}
    assert world.tell("leg_joined", node=OTHER, leg=old, room_id=spanning, member_id=99) == {"stray": True}
    assert bridges(world, spanning)[OTHER] == "connected"


def test_each_attempt_waits_longer(world: World, spanning: str) -> None:
    leg = next(row for row in world.tell("snapshot", what="rooms", cursor="0")["rows"])["legs"][0]["id"]
    world.age_legs(spanning)
    world.tell("leg_left", node=NODE, leg=leg, room_id=spanning, cause="MEDIA_TIMEOUT")
    assert world.due(OTHER, f"leg:{spanning}") <= world.now()
    world.sent(OTHER)
    waits = []
    for _ in range(7):
        world.overdue(OTHER)
        (announced,) = [command for command in world.sent() if command["op"] == "announce_leg"]
        before = world.now()
        world.answer_on(NODE, announced, ok=False, reason="refused")
        waits.append(round((world.due(OTHER, f"leg:{spanning}") - before) / 1000))
        world.sent(OTHER)
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_what_a_worker_of_an_older_version_does_to_a_leg_is_made_good(world: World, room: str) -> None:
    session = world.park(1, OTHER)
    world.ask("join", session_id=session, room_id=room)
    # It knows of no legs: it drops what it cannot handle, and takes the session out of what it knows.
    world.store.client.delete(keys.key(world.tag, "due", OTHER))
    world.store.client.srem(keys.key(world.tag, "present", room), session)
    again = world.park(2, OTHER)
    world.ask("join", session_id=again, room_id=room)
    assert world.due(OTHER, f"leg:{room}")
    world.tell("session_ended", node=OTHER, session_id=again, cause="NORMAL_CLEARING")
    world.overdue(OTHER, kind="leg")
    assert bridges(world, room) == {NODE: "source"}
    assert "withdraw_leg" in ops(world.sent())


def members_on(world: World, room: str) -> dict[str, int]:
    return {node["prefix"]: node["members"] for node in world.room(room)["nodes"]}


def test_members_whom_a_worker_of_an_older_version_has_taken_in_are_counted(world: World, spanning: str) -> None:
    counts = keys.key(world.tag, "members_on", spanning)
    world.store.client.delete(counts)
    assert members_on(world, spanning) == {NODE: 1, OTHER: 1}
    third = member(world, spanning, 3)
    assert members_on(world, spanning) == {NODE: 1, OTHER: 2}
    world.store.client.delete(counts)
    world.tell("session_ended", node=OTHER, session_id=third, cause="NORMAL_CLEARING")
    assert members_on(world, spanning) == {NODE: 1, OTHER: 1}


def test_members_whom_a_worker_of_an_older_version_has_taken_out_are_not_counted_after_the_next_comparison(
    world: World, spanning: str
) -> None:
    third = member(world, spanning, 3)
    for name in ("members", "present"):
        key = keys.key(world.tag, name, spanning)
        world.store.client.execute_command("ZREM" if name == "members" else "SREM", key, third)
    world.tell("snapshot", node=OTHER, what="rooms", cursor="0")
    assert members_on(world, spanning) == {NODE: 1, OTHER: 1}


def test_a_leg_that_breaks_as_soon_as_it_is_up_is_dialled_later_each_time(world: World, spanning: str) -> None:
    waits = []
    for _ in range(4):
        (row,) = world.tell("snapshot", node=OTHER, what="rooms", cursor="0")["rows"]
        before = world.now()
        world.tell("leg_left", node=OTHER, leg=row["legs"][0]["id"], room_id=spanning, cause="MEDIA_TIMEOUT")
        waits.append(round((world.due(OTHER, f"leg:{spanning}") - before) / 1000))
        world.sent(OTHER)
        world.overdue(OTHER)
        leg_up(world, spanning)
    assert waits == [1, 2, 4, 8]


def test_commands_go_to_the_members_node_and_the_rooms_source(world: World, spanning: str) -> None:
    session = [row["session_id"] for row in world.ask("list_sessions", after=0, limit=10, room=spanning)["rows"]][1]
    world.ask("leave", session_id=session)
    assert [(command["op"], command["member_id"]) for command in world.sent(OTHER)] == [("kick", 2)]
    world.play(spanning, "http://a.example/1.wav")
    assert ops(world.sent()) == ["play"]
    assert world.sent(OTHER) == []


def test_deleting_a_room_ends_it_on_every_node(world: World, spanning: str) -> None:
    world.ask("delete_room", room_id=spanning)
    assert ops(world.sent()) == ["stop", "kick_all"]
    assert ops(world.sent(OTHER)) == ["kick_all"]
    for number, node in ((1, NODE), (2, OTHER)):
        session = [row["session_id"] for row in world.ask("list_sessions", after=0, limit=10)["rows"]][number - 1]
        world.tell("member_left", node=node, session_id=session, room_id=spanning, member_id=number, cause="")
    assert world.types() == ["conference.destroyed", *["conference.member.left"] * 2]
    assert ops(world.sent(OTHER)) == ["hang_up_leg"]
    assert world.leftovers(spanning) == []


def test_a_join_that_waits_for_a_leg_fails_with_its_room(world: World, room: str) -> None:
    session = world.park(1, OTHER)
    world.ask("join", session_id=session, room_id=room)
    world.webhooks()
    world.ask("delete_room", room_id=room)
    assert [(kind, data.get("reason")) for kind, data in world.webhooks()] == [
        ("conference.destroyed", "deleted"),
        ("conference.member.join_failed", "room_destroyed"),
    ]
    assert world.leftovers(room) == []


def test_a_leg_of_a_deleted_room_is_not_dialled_again(world: World, spanning: str) -> None:
    world.ask("delete_room", room_id=spanning)
    (row,) = world.tell("snapshot", node=OTHER, what="rooms", cursor="0")["rows"]
    world.tell("leg_left", node=OTHER, leg=row["legs"][0]["id"], room_id=spanning, cause="")
    world.sent()
    world.tell("overdue", node=OTHER)
    assert world.sent() == []


def test_playback_is_over_when_the_last_member_leaves_and_is_stopped_where_legs_keep_the_room(
    world: World, spanning: str
) -> None:
    world.play(spanning, "http://a.example/1.wav")
    world.answer(world.sent()[0]["job"])
    world.webhooks()
    for number, node in ((1, NODE), (2, OTHER)):
        session = [row["session_id"] for row in world.ask("list_sessions", after=0, limit=10)["rows"]][number - 1]
        world.tell("member_left", node=node, session_id=session, room_id=spanning, member_id=number, cause="")
    assert world.types() == [*["conference.member.left"] * 2, "conference.play.finished"]
    assert ops(world.sent()) == ["stop"]


def test_playback_is_interrupted_when_the_source_has_nobody_left(world: World, room: str) -> None:
    session = world.park(1, OTHER)
    world.ask("join", session_id=session, room_id=room)
    leg = leg_up(world, room)
    world.sent(OTHER)
    world.tell("member_joined", node=OTHER, session_id=session, room_id=room, member_id=1, flags=["muted"])
    world.play(room, "http://a.example/1.wav")
    world.answer(world.sent()[0]["job"])
    world.webhooks()
    world.tell("leg_left", node=NODE, leg=leg, room_id=room, cause="MEDIA_TIMEOUT")
    (finished,) = world.webhooks()
    assert (finished[0], finished[1]["status"]) == ("conference.play.finished", "interrupted")
    # The source may have its end of the leg for some seconds more, and the next leg comes before.
    assert ops(world.sent()) == ["stop"]


def test_playback_is_interrupted_when_the_last_member_leaves_a_source_without_legs(world: World, spanning: str) -> None:
    world.play(spanning, "http://a.example/1.wav")
    world.answer(world.sent()[0]["job"])
    (row,) = world.tell("snapshot", node=OTHER, what="rooms", cursor="0")["rows"]
    world.tell("leg_left", node=OTHER, leg=row["legs"][0]["id"], room_id=spanning, cause="MEDIA_TIMEOUT")
    world.webhooks()
    (session,) = [row["session_id"] for row in world.ask("list_sessions", after=0, limit=10)["rows"]][:1]
    world.left(session, spanning, 1)
    assert world.types() == ["conference.member.left", "conference.play.finished"]


class TestMove:
    """The source is gone."""

    def test_to_the_node_with_most_members(self, world: World, spanning: str) -> None:
        world.play(spanning, "http://a.example/1.wav")
        third = world.park(3, THIRD)
        world.ask("join", session_id=third, room_id=spanning)
        (_, announced) = world.sent()
        world.answer_on(NODE, announced)
        (dial,) = world.sent(THIRD)
        for node, member_id in ((NODE, 92), (THIRD, 93)):
            world.tell("leg_joined", node=node, leg=dial["leg"], room_id=spanning, member_id=member_id)
        world.tell("member_joined", node=THIRD, session_id=third, room_id=spanning, member_id=3, flags=["muted"])
        member(world, spanning, 4, THIRD)
        world.sent(OTHER)
        world.webhooks()
        self.lose(world, spanning, OTHER, THIRD)
        world.age_legs(spanning)
        world.overdue(OTHER, down=(NODE,))
        (finished,) = world.webhooks()
        assert (finished[0], finished[1]["status"]) == ("conference.play.finished", "interrupted")
        assert bridges(world, spanning) == {THIRD: "source", OTHER: "dialing", NODE: "down"}
        assert world.room(spanning)["members"] == 4
        assert world.counts(spanning) == {THIRD: 2, OTHER: 1, NODE: 1}
        world.sent(OTHER)
        announced = [command for command in world.sent(THIRD) if command["op"] == "announce_leg"]
        assert [command["node"] for command in announced] == [OTHER]
        # The old source gets a leg like any other node when it is back.
        world.overdue(NODE, down=(NODE,))
        assert bridges(world, spanning)[NODE] == "down"
        world.overdue(NODE)
        assert bridges(world, spanning)[NODE] == "dialing"
        assert world.play(spanning, "http://a.example/2.wav", operation="op2")["status"] == "in_progress"
        assert "play" in ops(world.sent(THIRD))

    def test_with_many_legs_in_parts(self, world: World, spanning: str) -> None:
        others = self.spread(world, spanning)
        member(world, spanning, 3)
        # The last one is away meanwhile, and its leg is known as it was.
        *rest, late = others
        (row,) = world.tell("snapshot", node=late, what="rooms", cursor="0")["rows"]
        leg = row["legs"][0]["id"]
        self.lose(world, spanning, OTHER, *rest)
        world.age_legs(spanning)
        world.overdue(OTHER, down=(NODE, late))
        told = list(bridges(world, spanning).values())
        assert (told.count("source"), told.count("dialing"), told.count("down")) == (1, 10, 6)
        for node in others:
            world.tell("overdue", node=node)
        assert {bridges(world, spanning)[node] for node in others} == {"dialing"}
        assert [command["leg"] for command in world.sent(late) if command["op"] == "hang_up_leg"] == [leg]
        assert bridges(world, spanning)[OTHER] == "source"

    def test_no_coach_is_related_to_who_has_the_number_of_a_leg_that_is_left_behind(
        self, world: World, spanning: str
    ) -> None:
        coach, coached = (member(world, spanning, number) for number in (3, 4))
        self.leave_legs_behind(world, spanning)
        world.sent(OTHER)
        assert world.coach(coach, coached)["status"] == "coaching"
        told = [(command["how"], command["others"]) for command in world.sent(OTHER)]
        assert told == [("nospeak", [2]), ("clear", [4])]

    def test_legs_that_are_left_behind_do_not_keep_the_new_source(self, world: World, spanning: str) -> None:
        session = member(world, spanning, 3)
        self.leave_legs_behind(world, spanning)
        (other,) = (row["session_id"] for row in self.members(world, spanning, OTHER) if row["session_id"] != session)
        world.play(spanning, "http://a.example/1.wav", operation="op1")
        world.webhooks()
        for number, each in ((2, other), (3, session)):
            world.tell("member_left", node=OTHER, session_id=each, room_id=spanning, member_id=number, cause="")
        assert world.types() == [*["conference.member.left"] * 2, "conference.play.finished"]

    def test_not_while_the_source_is_up_or_has_just_gone(self, world: World, spanning: str) -> None:
        self.lose(world, spanning, OTHER)
        world.overdue(OTHER, down=(NODE,))
        assert bridges(world, spanning) == {NODE: "source", OTHER: "down"}
        world.age_legs(spanning)
        world.overdue(OTHER)
        assert bridges(world, spanning) == {NODE: "source", OTHER: "dialing"}

    def test_a_source_that_is_not_reached_is_not_dialled(self, world: World, spanning: str) -> None:
        """It could not be told, and the room would move that much later."""
        self.lose(world, spanning, OTHER)
        world.age_legs(spanning)
        before = world.now()
        world.overdue(OTHER, unreached=(NODE,))
        assert bridges(world, spanning) == {NODE: "source", OTHER: "down"}
        assert before <= world.due(OTHER, f"leg:{spanning}") - 1000 <= world.now()

    def test_a_join_waits_on_when_the_source_was_not_told_of_its_leg(self, world: World, room: str) -> None:
        """The source died right before. Without the wait, a join would fail that only has to wait for the move."""
        world.joined(room, 1)
        session = world.park(2, OTHER)
        world.ask("join", session_id=session, room_id=room)
        world.webhooks()
        assert bridges(world, room)[OTHER] == "dialing"
        world.overdue(OTHER, down=(NODE,), kind="leg")
        assert (bridges(world, room)[OTHER], world.types()) == ("down", [])
        world.age_legs(room)
        world.overdue(OTHER, down=(NODE,), kind="leg")
        assert bridges(world, room)[OTHER] == "source"
        assert [command.get("session") for command in world.sent(OTHER) if command["op"] == "join"] == [session]

    def test_the_old_source_stops_playing_before_it_has_a_leg(self, world: World, spanning: str) -> None:
        self.lose(world, spanning, OTHER)
        world.age_legs(spanning)
        world.overdue(OTHER, down=(NODE,), kind="leg")
        world.sent()
        world.overdue(NODE, kind="leg")
        assert ops(world.sent()) == ["stop"]
        assert ops(world.sent(OTHER))[-1] == "announce_leg"

    def test_what_the_old_source_still_plays_is_stopped(self, world: World, spanning: str) -> None:
        self.lose(world, spanning, OTHER)
        world.age_legs(spanning)
        world.overdue(OTHER, down=(NODE,))
        world.sent()
        world.tell("playback_lost", node=NODE, room_id=spanning, playing="a.example/1.wav")
        assert ops(world.sent()) == ["stop"]

    def test_a_join_that_waits_for_the_new_sources_leg_goes_on(self, world: World, spanning: str) -> None:
        self.lose(world, spanning, OTHER)
        session = world.park(3, OTHER)
        assert world.ask("join", session_id=session, room_id=spanning)["status"] == "joining"
        world.sent(OTHER)
        world.age_legs(spanning)
        world.overdue(OTHER, down=(NODE,), kind="leg")
        assert bridges(world, spanning)[OTHER] == "source"
        assert [command.get("session") for command in world.sent(OTHER) if command["op"] == "join"] == [session]

    def test_joins_that_wait_for_a_new_source_fail_in_parts_with_their_room(self, world: World, spanning: str) -> None:
        sessions = self.wait_for_move(world, spanning, 50)
        joins = [command for command in world.sent(OTHER) if command["op"] == "join"]
        assert [command["session"] for command in joins] == sessions[:25]
        world.ask("delete_room", room_id=spanning)
        assert world.types().count("conference.member.join_failed") == 10
        while world.tell("overdue", node=OTHER)["more"]:
            pass
        told = [(data["uuid"], data["reason"]) for _, data in world.webhooks()]
        assert told == [(session, "room_destroyed") for session in sessions[35:]]
        assert {world.session(session)["state"] for session in sessions[25:]} == {"parked"}

    def test_nothing_is_left_of_joins_that_waited_for_a_new_source(self, world: World, spanning: str) -> None:
        self.wait_for_move(world, spanning, 30)
        for row in world.ask("list_sessions", after=0, limit=100)["rows"]:
            node = row["session_id"].split("-")[0]
            world.tell("session_ended", node=node, session_id=row["session_id"], cause="NORMAL_CLEARING")
        world.ask("delete_room", room_id=spanning)
        assert world.leftovers(spanning) == []

    def test_its_end_moves_with_it(self, world: World, spanning: str) -> None:
        world.ask("change_room", room_id=spanning, options={"max_duration": 3600})
        at = world.due(NODE, f"expiry:{spanning}")
        assert at > 0
        self.lose(world, spanning, OTHER)
        world.age_legs(spanning)
        world.overdue(OTHER, down=(NODE,), kind="leg")
        assert (world.due(NODE, f"expiry:{spanning}"), world.due(OTHER, f"expiry:{spanning}")) == (0, at)
        world.store.client.hincrby(keys.key(world.tag, "room", spanning), "started_at", -3600)
        world.overdue(OTHER, down=(NODE,), kind="expiry")
        assert "conference.destroyed" in world.types()

    def test_its_recording_is_kept_and_another_begins(self, world: World, spanning: str) -> None:
        world.ask("change_room", room_id=spanning, options={"record": True})
        (record,) = world.sent()
        world.tell("recording_started", recording_id=record["recording"])
        self.lose(world, spanning, OTHER)
        world.types()
        world.age_legs(spanning)
        world.overdue(OTHER, down=(NODE,), kind="leg")
        ((kind, data),) = [each for each in world.webhooks() if "recording" in each[0]]
        assert (kind, data["reason"]) == ("conference.recording.stopped", "node_lost")
        another = next(each for each in world.sent(OTHER) if each["op"] == "record")
        assert another["recording"] != record["recording"]
        # What there is of the first is fetched from the old source once that is back.
        assert [each["recording"] for each in world.sent() if each["op"] == "store"] == [record["recording"]]

    def test_away_from_a_node_that_was_removed(self, world: World, spanning: str) -> None:
        self.lose(world, spanning, OTHER)
        world.age_legs(spanning)
        del world.nodes[NODE]
        world.overdue(OTHER)
        assert bridges(world, spanning) == {OTHER: "source", NODE: "down"}

    def test_rather_to_a_node_that_takes_new_rooms(self, world: World, spanning: str) -> None:
        member(world, spanning, 3)
        third = world.park(4, THIRD)
        world.ask("join", session_id=third, room_id=spanning)
        leg_up(world, spanning, THIRD)
        self.lose(world, spanning, OTHER, THIRD)
        world.age_legs(spanning)
        world.nodes[OTHER]["open"] = False
        world.overdue(OTHER, down=(NODE,), kind="leg")
        assert bridges(world, spanning)[THIRD] == "source"

    @pytest.mark.parametrize("removed", [False, True])
    def test_to_the_node_of_a_session_that_joins_meanwhile(self, world: World, room: str, removed: bool) -> None:
        """Nobody else is on another node, and without the move the room would be of no use until the source is back."""
        world.joined(room, 1)
        session = world.park(2, OTHER)
        world.nodes[NODE] = {"up": False, "open": not removed}
        assert world.ask("join", session_id=session, room_id=room)["status"] == "joining"
        assert (world.sent(), world.sent(OTHER)) == ([], [])
        world.tell("overdue", node=OTHER)
        assert bridges(world, room) == {NODE: "source", OTHER: "down"}
        world.age_legs(room)
        world.overdue(OTHER, down=(NODE,), kind="leg")
        assert bridges(world, room) == {OTHER: "source", NODE: "down"}
        assert ops(world.sent(OTHER)) == ["join"]
        assert world.counts(room) == {OTHER: 0, NODE: 1}

    def test_not_while_another_node_has_its_leg_to_the_source(self, world: World, spanning: str) -> None:
        world.nodes[NODE]["up"] = False
        world.ask("join", session_id=world.park(3, THIRD), room_id=spanning)
        world.age_legs(spanning)
        world.overdue(THIRD, down=(NODE,), kind="leg")
        assert bridges(world, spanning) == {NODE: "source", OTHER: "connected", THIRD: "down"}
        # Of a node that is down itself nobody knows.
        world.overdue(THIRD, down=(NODE, OTHER), kind="leg")
        assert bridges(world, spanning)[THIRD] == "source"

    def wait_for_move(self, world: World, room: str, count: int) -> list[str]:
        """Sessions whose joins wait for the room to move to their node. It has just moved, and the first go on."""
        self.lose(world, room, OTHER)
        sessions = waiting(world, room, count, 10)
        world.age_legs(room)
        world.nodes[NODE]["up"] = False
        world.store.client.zadd(keys.key(world.tag, "due", OTHER), {f"leg:{room}": 0})
        assert world.tell("overdue", node=OTHER)["more"]
        assert bridges(world, room)[OTHER] == "source"
        return sessions

    @staticmethod
    def spread(world: World, room: str) -> list[str]:
        """Has the room span more nodes than get a leg in the step of a move. Returns them."""
        others = [f"n{number:04}" for number in range(15)]
        world.nodes.update({node: {"up": True, "open": True} for node in others})
        for number, node in enumerate(others, 10):
            world.ask("join", session_id=world.park(number, node), room_id=room)
            leg_up(world, room, node)
            world.sent(node)
        return others

    def leave_legs_behind(self, world: World, room: str) -> None:
        """Moves the room while the other nodes are away, so that some of their legs are known as they were."""
        others = self.spread(world, room)
        self.lose(world, room, OTHER)
        world.age_legs(room)
        world.overdue(OTHER, down=(NODE, *others))
        told = list(bridges(world, room).values())
        assert (bridges(world, room)[OTHER], told.count("dialing")) == ("source", 10)

    @staticmethod
    def members(world: World, room: str, node: str) -> list[dict[str, Any]]:
        rows = world.ask("list_members", room_id=room, after=0, limit=100)["rows"]
        return [row for row in rows if row["node"] == node]

    @staticmethod
    def lose(world: World, room: str, *nodes: str) -> None:
        for node in nodes:
            (row,) = world.tell("snapshot", node=node, what="rooms", cursor="0")["rows"]
            world.tell("leg_left", node=node, leg=row["legs"][0]["id"], room_id=room, cause="MEDIA_TIMEOUT")


def test_the_snapshot_of_a_node_has_its_legs(world: World, spanning: str) -> None:
    (on_source,) = world.tell("snapshot", what="rooms", cursor="0")["rows"]
    (elsewhere,) = world.tell("snapshot", node=OTHER, what="rooms", cursor="0")["rows"]
    assert on_source["legs"][0]["id"] == elsewhere["legs"][0]["id"]
    assert (on_source["legs"][0]["member_id"], elsewhere["legs"][0]["member_id"]) == (90, 91)
    assert keys.partition_of(world.app_id) == world.tag


def test_a_node_that_is_removed_leaves_no_leg(world: World, room: str) -> None:
    world.joined(room)
    world.ask("join", session_id=world.park(2, OTHER), room_id=room)
    leg_up(world, room)
    assert bridges(world, room) == {NODE: "source", OTHER: "connected"}
    remove(world, OTHER)
    assert bridges(world, room) == {NODE: "source"}
    assert world.store.count_on(OTHER) == (0, 0)


def remove(world: World, node: str, other: str | None = None) -> int:
    """Has a node removed for good. -> how many rooms move."""
    up: dict[str, NodeUp] = {each: {"open": True, "reached": True} for each in world.nodes if each != node}
    return end_all_on(world.store, node, "cli", up=up, choose=lambda _: other).rooms


def test_a_room_whose_source_is_removed_moves_to_a_node_with_members(world: World, spanning: str) -> None:
    world.ask("change_room", room_id=spanning, options={"max_duration": 3600, "record": True})
    world.webhooks()
    world.sent(OTHER)
    # The node itself may go on, so that the leg is not lost.
    assert remove(world, NODE) == 1
    assert bridges(world, spanning) == {OTHER: "source"}
    assert world.store.count_on(NODE) == (0, 0)
    told = world.webhooks()
    assert ("conference.member.left", "node_lost") in [(kind, data.get("reason")) for kind, data in told]
    assert {"hang_up_leg", "record"} <= set(ops(world.sent(OTHER)))
    assert world.due(OTHER, f"expiry:{spanning}") > 0


@pytest.mark.parametrize("options", [{"end_when_empty": 60}, {"max_duration": 60}])
def test_an_empty_room_whose_node_is_removed_ends_when_its_time_is_over(
    world: World, room: str, options: dict[str, Any]
) -> None:
    world.ask("change_room", room_id=room, options=options)
    world.left(world.joined(room), room)
    assert remove(world, NODE, other=THIRD) == 1
    assert bridges(world, room) == {THIRD: "source"}
    key = keys.key(world.tag, "room", room)
    world.store.client.hincrby(key, "started_at", -3600)
    world.store.client.hincrby(key, "empty_since", -3_600_000)
    world.webhooks()
    world.overdue(THIRD, kind="expiry")
    assert world.types() == ["conference.destroyed"]
    assert world.leftovers(room) == []


def test_a_room_stays_where_it_was_if_there_is_no_other_node(world: World, room: str) -> None:
    assert remove(world, NODE) == 0
    assert bridges(world, room) == {NODE: "source"}


def test_a_room_that_is_being_deleted_is_forgotten_with_its_node(world: World, room: str) -> None:
    world.joined(room)
    world.ask("delete_room", room_id=room)
    assert remove(world, NODE, other=THIRD) == 0
    assert world.leftovers(room) == []
