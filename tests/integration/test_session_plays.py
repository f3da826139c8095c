"""What is played to one session: from the command to what the node says of each file."""

from __future__ import annotations

from typing import Any

import pytest

from controller.sessions.flags import FLAGS, HOLD
from controller.store import keys
from tests.integration.world import NODE, World, channel

MUTED, *_ = FLAGS
A, B, C = (f"https://cdn.example.com/{name}.wav" for name in "abc")
FINISHED, STOPPED = "session.play.finished", "session.play.stopped"


class Call:
    """A call that is parked, or the member of a room."""

    def __init__(self, world: World, kind: str) -> None:
        self.world = world
        self.room = world.create() if kind == "member" else ""
        self.session = world.joined(self.room) if self.room else world.park()
        world.webhooks()

    def sent(self, op: str = "session_play") -> dict[str, Any]:
        """The one command that the node gets, without a result yet."""
        (command,) = self.world.sent()
        assert command["op"] == op
        assert (command.get("room", ""), command.get("member_id")) == (self.room, 1 if self.room else None)
        return command

    def started(self) -> dict[str, Any]:
        """The same of a file that the node plays now."""
        command = self.sent()
        self.world.answer(command["job"])
        return command

    def done(self, index: int, operation: str = "op1", **more: Any) -> dict[str, Any]:
        about = {"session_id": self.session, "operation_id": operation, "index": index}
        return self.world.tell("session_file_done", **about, **more)

    def finished(self) -> tuple[str, list[tuple[str, ...]]]:
        """How what is played has ended, and each file; nothing else is told."""
        ((kind, data),) = self.world.webhooks()
        assert kind == FINISHED
        assert (data["uuid"], data["operation_id"]) == (self.session, "op1")
        self.nothing_is_left()
        results = [tuple(str(value) for name, value in row.items() if name != "url") for row in data["results"]]
        return data["status"], results

    def nothing_is_left(self) -> None:
        store, tag = self.world.store.client, self.world.tag
        assert not store.exists(keys.key(tag, "operation", "op1"), keys.key(tag, "urls", "op1"))
        used = store.hmget(keys.key(tag, "usage", "demo"), "operations", "url_bytes")
        assert [int(value or 0) for value in used] == [0, 0]


@pytest.fixture(params=["parked", "member"])
def call(world: World, request: pytest.FixtureRequest) -> Call:
    return Call(world, request.param)


@pytest.fixture
def parked(world: World) -> Call:
    return Call(world, "parked")


@pytest.fixture
def member(world: World) -> Call:
    return Call(world, "member")


def test_files_play_one_after_the_other(world: World, call: Call) -> None:
    answer = world.play_to(call.session, A, B, command_uid="p")
    assert (answer["status"], answer["operation_id"]) == ("in_progress", "op1")
    ((kind, data),) = world.webhooks()
    assert (kind, data["urls"], data["operation_id"]) == ("session.play.started", [A, B], "op1")
    assert (data["uuid"], data["command_uid"]) == (call.session, "p")
    first = call.started()
    assert (first["url"], first["operation"], first["index"]) == (A, "op1", 0)
    assert world.sent() == []
    call.done(0)
    second = call.started()
    assert (second["url"], second["index"]) == (B, 1)
    assert call.done(0) == {"known": True}
    call.done(1)
    assert call.finished() == ("completed", [("played",), ("played",)])
    world.overdue()
    assert world.webhooks() == []


def test_a_session_shows_which_file_it_hears(world: World, call: Call) -> None:
    assert world.session(call.session)["playing"] is None
    world.play_to(call.session, A, B)
    for index in (0, 1):
        shown = {"operation_id": "op1", "urls": [A, B], "index": index}
        assert world.session(call.session)["playing"] == shown
        call.started()
        assert world.session(call.session)["playing"] == shown
        call.done(index)
    assert world.session(call.session)["playing"] is None


def test_a_file_is_done_before_the_result_of_its_command(world: World, call: Call) -> None:
    world.play_to(call.session, A, B)
    world.webhooks()
    first = call.sent()
    call.done(0)
    assert world.sent() == []
    world.answer(first["job"])
    call.started()
    call.done(1)
    assert call.finished()[0] == "completed"


def test_files_that_cannot_be_played(world: World, call: Call) -> None:
    """As a worker says whose relay could not prepare one, and as a node that did not get one."""
    world.play_to(call.session, A, B, C)
    world.webhooks()
    world.answer(call.sent()["job"], ok=False, reason="not_found", http_status=404)
    if call.room:
        world.answer(call.sent()["job"], ok=False, reason="unplayable")
    else:
        call.started()
        call.done(1, reason="unplayable")
    call.started()
    call.done(2)
    assert call.finished() == ("partial", [("failed", "not_found", "404"), ("failed", "unplayable"), ("played",)])


def test_a_file_that_its_relay_has_lost_is_prepared_anew(world: World, call: Call) -> None:
    world.play_to(call.session, A)
    world.webhooks()
    for _ in range(3):
        command = call.sent()
        if call.room:
            world.answer(command["job"], ok=False, reason="relay_lost")
        else:
            world.answer(command["job"])
            call.done(0, reason="relay_lost")
    assert call.finished() == ("failed", [("failed", "unplayable")])


def test_a_node_says_that_a_file_was_lost_before_the_result_of_its_command(world: World, parked: Call) -> None:
    world.play_to(parked.session, A, B)
    world.webhooks()
    first = parked.sent()
    parked.done(0, reason="relay_lost")
    second = parked.sent()
    assert (second["url"], second["index"]) == (A, 0)
    world.answer(first["job"])
    assert world.sent() == []
    world.answer(second["job"])
    parked.done(0)
    parked.started()
    parked.done(1)
    assert parked.finished() == ("completed", [("played",), ("played",)])


def test_it_is_stopped(world: World, call: Call) -> None:
    world.play_to(call.session, A, B)
    call.started()
    world.webhooks()
    answer = world.ask("stop_session_play", session_id=call.session, command_uid="s")
    assert (answer["status"], answer["operation_id"]) == ("stopped", "op1")
    ((kind, data),) = world.webhooks()
    assert (kind, data["operation_id"], data["command_uid"]) == (STOPPED, "op1", "s")
    call.nothing_is_left()
    # The next waits for the result of the stop.
    world.play_to(call.session, C, operation="op2")
    stop = call.sent("session_stop")
    assert call.done(0) == {"known": True}
    world.answer(stop["job"])
    assert call.started()["url"] == C
    call.done(0, "op2")
    assert world.types() == ["session.play.started", FINISHED]


def test_one_that_is_stopped_before_it_is_heard(world: World, call: Call) -> None:
    world.play_to(call.session, A)
    world.webhooks()
    world.ask("stop_session_play", session_id=call.session)
    assert world.sent() == []
    assert world.types() == [STOPPED]
    # And one that the node has been sent: it is stopped once it plays.
    world.play_to(call.session, A)
    play = call.sent()
    world.ask("stop_session_play", session_id=call.session)
    assert world.sent() == []
    world.answer(play["job"])
    world.answer(call.sent("session_stop")["job"])
    call.done(0)
    world.play_to(call.session, B)
    assert call.started()["url"] == B


def stopped_in_vain(world: World, call: Call) -> None:
    """The node says that it has stopped the file, and plays on. The next one waits."""
    world.play_to(call.session, A)
    call.started()
    world.ask("stop_session_play", session_id=call.session)
    world.play_to(call.session, B, operation="op2")
    world.answer(call.sent("session_stop")["job"])
    assert world.sent() == []


def test_a_stop_that_does_not_stop_is_sent_again(world: World, parked: Call) -> None:
    stopped_in_vain(world, parked)
    assert not world.tell("overdue", node=NODE)["late"]
    world.overdue(kind="session_stop")
    stop = parked.sent("session_stop")
    # A stop that is on its way would break off the next one.
    parked.done(0)
    assert world.sent() == []
    world.answer(stop["job"])
    assert parked.started()["url"] == B
    world.overdue(kind="session_stop")
    assert world.sent() == []


def test_the_end_of_what_is_stopped_comes_behind_the_result(world: World, parked: Call) -> None:
    stopped_in_vain(world, parked)
    parked.done(0)
    assert parked.started()["url"] == B
    world.overdue(kind="session_stop")
    assert world.sent() == []


def test_what_is_stopped_may_never_have_begun(world: World, parked: Call) -> None:
    """Then nothing tells of its end, and the stop is sent thrice."""
    stopped_in_vain(world, parked)
    for _ in range(2):
        world.overdue(kind="session_stop")
        world.answer(parked.sent("session_stop")["job"])
    assert parked.started()["url"] == B
    world.overdue(kind="session_stop")
    assert world.sent() == []


def test_a_call_that_joins_meanwhile_is_not_told_again(world: World, parked: Call) -> None:
    stopped_in_vain(world, parked)
    room = world.create()
    world.ask("join", session_id=parked.session, room_id=room)
    world.sent()
    world.overdue(kind="session_stop")
    assert world.sent() == []
    world.tell("member_joined", session_id=parked.session, room_id=room, member_id=1, flags=[])
    world.play_to(parked.session, A, operation="op3")
    (play,) = world.sent()
    assert (play["op"], play["member_id"]) == ("session_play", 1)


def test_a_stop_with_nothing_to_stop(world: World, call: Call) -> None:
    assert world.ask("stop_session_play", session_id=call.session)["operation_id"] == ""
    ((kind, data),) = world.webhooks()
    assert (kind, data["operation_id"]) == (STOPPED, "")
    # It would stop what a member hears on hold.
    assert world.sent() == []


@pytest.mark.parametrize("state", ["waits", "is sent", "plays"])
def test_a_call_that_joins(world: World, parked: Call, state: str) -> None:
    room = world.create()
    world.play_to(parked.session, A, B)
    command = {"waits": lambda: None, "is sent": parked.sent, "plays": parked.started}[state]()
    world.webhooks()
    world.ask("join", session_id=parked.session, room_id=room)
    status, results = parked.finished()
    assert (status, results) == ("interrupted", [("failed", "interrupted")] * 2)
    sent = {each["op"]: each for each in world.sent()}
    assert sent.keys() == {"join"} | ({"session_stop"} if state == "plays" else set())
    if command and state == "is sent":
        world.answer(command["job"])
        assert parked.sent("session_stop")
    parked.done(0, reason="unplayable")
    world.tell("member_joined", session_id=parked.session, room_id=room, member_id=1, flags=["muted"])
    assert world.types() == ["conference.member.joined"]


def test_a_call_that_is_transferred(world: World, call: Call) -> None:
    world.play_to(call.session, A, B)
    call.started()
    world.webhooks()
    assert world.ask_transfer(call.session)["status"] == "transferring"
    assert call.finished()[0] == "interrupted"
    # What plays is stopped before the caller hears that it rings.
    assert [each["op"] for each in world.sent()] == ["session_stop", "transfer"]
    assert world.play_to(call.session, A)["refused"] == "transferring"
    world.tell("session_transferred", session_id=call.session, leg=channel(900))
    assert world.play_to(call.session, A)["refused"] == "transferred"
    assert world.ask("stop_session_play", session_id=call.session)["operation_id"] == ""


def test_an_operator_moves_a_call_into_a_room(world: World, parked: Call) -> None:
    room = world.create()
    world.play_to(parked.session, A)
    parked.started()
    world.webhooks()
    world.tell("member_joined", session_id=parked.session, room_id=room, member_id=1, flags=[])
    assert [kind for kind in world.types() if kind != "conference.created"] == [FINISHED, "conference.member.joined"]
    assert world.sent() == []


@pytest.mark.parametrize("how", ["leave", "kicked", "deleted", "hangup"])
def test_a_member_that_leaves(world: World, member: Call, how: str) -> None:
    world.play_to(member.session, A, B)
    member.started()
    world.webhooks()
    if how == "leave":
        world.ask("leave", session_id=member.session)
    elif how == "deleted":
        world.ask("delete_room", room_id=member.room)
    cause = "NORMAL_CLEARING" if how == "hangup" else ""
    world.left(member.session, member.room, cause=cause)
    told = world.webhooks()
    assert [data["status"] for kind, data in told if kind == FINISHED] == ["interrupted"]
    member.nothing_is_left()
    if how == "hangup":
        world.tell("session_ended", session_id=member.session, cause=cause)
        assert world.types() == ["session.ended"]
    # It may be played to again, as what it is now.
    elif how == "kicked":
        world.sent()
        world.play_to(member.session, C)
        member.room = ""
        member.sent()


@pytest.mark.parametrize("node_lost", [False, True])
def test_a_call_that_ends(world: World, call: Call, node_lost: bool) -> None:
    world.play_to(call.session, A)
    call.started()
    world.webhooks()
    world.tell("session_ended", session_id=call.session, cause="NORMAL_CLEARING", node_lost=node_lost)
    told = world.types()
    assert told.count(FINISHED) == 1
    assert told[-1] == "session.ended"
    call.nothing_is_left()
    assert call.done(0) == {"unknown": True}


def test_a_result_that_is_lost_with_the_link(world: World, call: Call) -> None:
    """It may be heard or not: it is stopped, and the next one plays."""
    world.play_to(call.session, A, B, command_uid="p")
    call.sent()
    world.webhooks()
    world.tell("jobs_lost")
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["reason"], data["command_uid"]) == (
        *("session.command.failed", "play"),
        *("no_answer", "p"),
    )
    stop = call.sent("session_stop")
    assert call.done(0) == {"known": True}
    world.answer(stop["job"])
    call.started()
    call.done(1)
    assert call.finished() == ("partial", [("failed", "no_answer"), ("played",)])


def test_the_result_of_a_stop_is_lost(world: World, call: Call) -> None:
    """It is sent again, thrice at most, so that nothing plays on for ever."""
    world.play_to(call.session, A)
    call.started()
    world.ask("stop_session_play", session_id=call.session)
    for _ in range(3):
        call.sent("session_stop")
        world.tell("jobs_lost")
    assert world.sent() == []


def test_a_node_that_is_away(world: World, call: Call) -> None:
    world.play_to(call.session, A)
    world.webhooks()
    world.overdue(kind="job")
    (failed, (kind, data)) = world.webhooks()
    assert (failed[0], failed[1]["reason"]) == ("session.command.failed", "node_unreachable")
    assert (kind, data["status"]) == (FINISHED, "failed")


def test_a_comparison_finds_that_it_does_not_play(world: World, call: Call) -> None:
    about = {"session_id": call.session, "operation_id": "op1", "index": 0}
    world.play_to(call.session, A, B)
    sent = call.sent()
    world.webhooks()
    rows = [row for row in world.tell("snapshot", what="sessions", cursor="0")["rows"] if row["id"] == call.session]
    assert "played" not in rows[0]
    assert world.tell("session_play_lost", **about) == {"known": True}
    world.answer(sent["job"])
    rows = [row for row in world.tell("snapshot", what="sessions", cursor="0")["rows"] if row["id"] == call.session]
    assert rows[0]["played"] == {"operation": "op1", "index": 0}
    world.tell("session_play_lost", **about, resynced=True)
    assert call.finished()[0] == "interrupted"
    assert world.tell("session_play_lost", **about) == {"known": True}


def test_what_is_refused(world: World, member: Call) -> None:
    assert world.set_flag(member.session, MUTED, False)["status"] == "unmuted"
    world.sent()
    world.play_to(member.session, A)
    assert world.play_to(member.session, B)["refused"] == "already_playing"
    assert world.set_flag(member.session, HOLD, True)["refused"] == "already_playing"
    play = member.sent()
    world.ask("stop_session_play", session_id=member.session)
    assert world.set_flag(member.session, HOLD, True)["refused"] == "already_playing"
    world.answer(play["job"])
    stop = member.sent("session_stop")
    assert world.set_flag(member.session, HOLD, True)["refused"] == "already_playing"
    world.answer(stop["job"])
    assert world.set_flag(member.session, HOLD, True)["status"] == "held"
    assert world.play_to(member.session, A)["refused"] == "on_hold"
    about = {"session_id": member.session, "room_id": member.room, "member_id": 1}
    world.tell("flag_changed", **about, flag="hold", on=True)
    assert world.play_to(member.session, A)["refused"] == "on_hold"
    world.set_flag(member.session, HOLD, False)
    world.tell("flag_changed", **about, flag="hold", on=False)
    assert world.play_to(member.session, A)["status"] == "in_progress"
    world.ask("stop_session_play", session_id=member.session)
    world.ask("leave", session_id=member.session)
    assert world.play_to(member.session, A)["refused"] == "leaving"


def test_a_call_that_is_on_its_way(world: World) -> None:
    dialled, joining = world.dial(7), world.park(8)
    assert world.play_to(dialled, A)["refused"] == "still_dialing"
    assert world.ask("stop_session_play", session_id=dialled)["refused"] == "still_dialing"
    world.ask("join", session_id=joining, room_id=world.create())
    assert world.play_to(joining, A)["refused"] == "still_joining"
    assert world.ask("may_play_to_session", session_id=joining, url_bytes=9)["refused"] == "still_joining"


def test_its_quotas(world: World, parked: Call) -> None:
    world.limits["quotas"] = {**world.limits["quotas"], "operations": 0}
    assert world.play_to(parked.session, A)["refused"] == "quota_exceeded"
    world.limits["quotas"] = {**world.limits["quotas"], "operations": 1, "url_bytes": len(A) + 1}
    refused = world.play_to(parked.session, A)
    assert (refused["refused"], refused["detail"]["quota"]) == ("quota_exceeded", "url_bytes")
    assert world.ask("may_play_to_session", session_id=parked.session, url_bytes=len(A) + 1) == {}


def test_a_repeat_does_nothing(world: World, parked: Call) -> None:
    first = world.play_to(parked.session, A, command_uid="p", body="a")
    assert world.play_to(parked.session, A, operation="op2", command_uid="p", body="a") == first
    assert world.play_to(parked.session, B, command_uid="p", body="b")["refused"] == "command_uid_taken"
    assert world.types() == ["session.play.started"]
    assert not world.store.client.exists(keys.key(world.tag, "operation", "op2"))


def test_a_session_of_the_version_before(world: World, member: Call) -> None:
    """It has none of the fields."""
    assert world.tell("session_play_lost", session_id=member.session, operation_id="op1", index=0) == {"known": True}
    assert world.store.client.hget(keys.key(world.tag, "session", member.session), "play_operation") is None
    assert world.store.client.zcard(keys.key(world.tag, "due", NODE)) == 0
