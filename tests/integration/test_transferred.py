"""A call that is transferred to a number, from the command to what the node says of it, whoever dies in between."""

from __future__ import annotations

from typing import Any

import pytest

from controller.store import keys
from tests.integration.world import NODE, PERMISSION, World, channel

TO, FROM = "+4930123456", "+493098765432"
LEG = channel(900)


def ringing(world: World, session: str, **more: Any) -> dict[str, Any]:
    """The command by which the node was told."""
    assert world.ask_transfer(session, **more)["status"] == "transferring"
    (sent,) = world.sent()
    assert (sent["op"], sent["session"], sent["to"], sent["leg"]) == ("transfer", session, TO, LEG)
    world.answer(sent["job"])
    return sent


def in_use(world: World) -> int:
    """How many calls that the app makes are counted."""
    return int(world.store.client.scard(keys.key(world.tag, "dialled", "demo")))


def transferred(world: World, session: str) -> dict[str, Any]:
    return world.tell("session_transferred", session_id=session, leg=LEG)


def over(world: World, session: str, cause: str = "USER_BUSY") -> dict[str, Any]:
    return world.tell("transfer_over", session_id=session, leg=LEG, cause=cause)


def test_a_parked_call(world: World) -> None:
    session = world.park()
    world.webhooks()
    sent = ringing(world, session, command_uid="t-1")
    assert (sent["gateway"], sent["timeout"], sent["max_seconds"], sent["caller_id"]) == ("carrier", 60, 3600, FROM)
    assert (world.session(session)["state"], in_use(world), world.webhooks()) == ("transferring", 1, [])
    assert world.session(session)["transferred_to"] == TO
    assert transferred(world, session)["command"] == "transfer"
    assert transferred(world, session) == {"known": True}
    ((kind, data),) = world.webhooks()
    assert (kind, data["to"], data["shown_as"], data["command_uid"]) == ("session.transferred", TO, FROM, "t-1")
    assert (world.session(session)["state"], in_use(world)) == ("transferred", 1)
    assert world.session(session)["transferred_to"] == TO
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    assert world.types() == ["session.ended"]
    assert in_use(world) == 0


def test_a_member_leaves_its_room(world: World) -> None:
    room = world.create()
    session = world.joined(room, 7)
    world.webhooks()
    ringing(world, session, command_uid="t-1")
    assert world.session(session)["room_id"] == room
    for command, code in (("leave", "transferring"), ("join", "transferring")):
        asked = {"room_id": room} if command == "join" else {}
        assert world.ask(command, session_id=session, **asked)["refused"] == code
    world.left(session, room, 7)
    ((kind, data),) = world.webhooks()
    assert (kind, data["reason"], "command_uid" in data) == ("conference.member.left", "transferring", False)
    assert (world.session(session)["state"], world.session(session)["room_id"]) == ("transferring", "")
    over(world, session)
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"], data["hangup_cause"], data["command_uid"]) == (
        *("session.transfer_failed", "busy"),
        *("USER_BUSY", "t-1"),
    )
    assert (world.session(session)["state"], in_use(world)) == ("parked", 0)
    assert world.session(session)["transferred_to"] is None
    assert world.ask("join", session_id=session, room_id=room)["status"] == "joining"
    # Once more, when it leaves that room later.
    assert over(world, session) == {"known": True}


@pytest.mark.parametrize("in_room", [False, True])
def test_the_node_could_not_be_told(world: World, in_room: bool) -> None:
    """The call is where it was."""
    room = world.create()
    session = world.joined(room) if in_room else world.park()
    world.webhooks()
    world.ask_transfer(session)
    world.overdue(kind="job")
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"]) == ("session.transfer_failed", "node_unreachable")
    assert world.session(session)["state"] == ("joined" if in_room else "parked")
    assert (world.sent(), in_use(world)) == ([], 0)
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))


def test_the_node_refuses(world: World) -> None:
    session = world.park()
    world.webhooks()
    world.ask_transfer(session)
    (sent,) = world.sent()
    world.answer(sent["job"], ok=False, reason="refused", text="-ERR")
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"], "hangup_cause" in data) == ("session.transfer_failed", "failed", False)
    assert world.session(session)["state"] == "parked"


def test_a_result_that_is_lost_changes_nothing(world: World) -> None:
    session = world.park()
    world.webhooks()
    world.ask_transfer(session)
    world.sent()
    world.tell("jobs_lost")
    assert world.webhooks() == []
    transferred(world, session)
    assert world.types() == ["session.transferred"]


def test_a_number_that_the_node_does_not_give_up_is_hung_up(world: World) -> None:
    session = world.park()
    ringing(world, session)
    world.webhooks()
    world.overdue(kind="transfer:")
    (sent,) = world.sent()
    assert (sent["op"], sent["session"], sent["leg"]) == ("end_transfer", session, LEG)
    over(world, session, "NO_ANSWER")
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"]) == ("session.transfer_failed", "no_answer")


@pytest.mark.parametrize(("node_lost", "word"), [(False, "cancelled"), (True, "node_lost")])
@pytest.mark.parametrize("in_room", [False, True])
def test_the_call_ends_before_the_number_answers(world: World, node_lost: bool, word: str, in_room: bool) -> None:
    room = world.create()
    session = world.joined(room) if in_room else world.park()
    ringing(world, session, command_uid="t-1")
    world.webhooks()
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING", node_lost=node_lost)
    told = world.webhooks()
    left = ["conference.member.left"] if in_room else []
    assert [kind for kind, _ in told] == [*left, "session.transfer_failed", "session.ended"]
    assert (told[-2][1]["cause"], told[-2][1]["command_uid"]) == (word, "t-1")
    assert told[-2][1].get("hangup_cause") == (None if node_lost else "NORMAL_CLEARING")
    assert in_use(world) == 0
    assert transferred(world, session) == {"stray": True}


def test_a_hang_up_takes_back_what_the_node_has_not_been_told(world: World) -> None:
    session = world.park()
    world.webhooks()
    world.ask_transfer(session, command_uid="t-1")
    world.ask("hang_up", session_id=session, cause="NORMAL_CLEARING", command_uid="bye")
    assert [sent["op"] for sent in world.sent()] == ["hang_up"]
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"], data["command_uid"]) == ("session.transfer_failed", "cancelled", "t-1")
    assert "hangup_cause" not in data
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    ((kind, data),) = world.webhooks()
    assert (kind, data["command_uid"]) == ("session.ended", "bye")


@pytest.mark.parametrize("answered", [False, True])
def test_an_operator_moves_the_call_into_a_room(world: World, answered: bool) -> None:
    room = world.create()
    session = world.park()
    ringing(world, session)
    if answered:
        transferred(world, session)
    world.webhooks()
    world.tell("member_joined", session_id=session, room_id=room, member_id=3, flags=[])
    assert world.types() == ["session.transfer_failed", "conference.member.joined"]
    assert (world.session(session)["state"], in_use(world)) == ("joined", 0)
    assert transferred(world, session) == {"stray": True}


def test_one_that_was_given_up_and_is_answered_is_no_call_of_anybody(world: World) -> None:
    session = world.park()
    ringing(world, session)
    over(world, session, "UNKNOWN")
    assert transferred(world, session) == {"stray": True}
    assert transferred(world, "acW68-nobody") == {"stray": True}


@pytest.mark.parametrize(
    ("denied", "code"),
    [
        ({"gateway": None}, "dialing_forbidden"),
        ({"to": False}, "destination_forbidden"),
        ({"caller_id": False}, "caller_id_forbidden"),
        ({"calls_at_once": 0}, "dial_limit_reached"),
        ({"calls_per_minute": 0}, "dial_limit_reached"),
        ({"calls_per_day": 0}, "dial_limit_reached"),
    ],
)
def test_what_an_app_may_not(world: World, denied: dict[str, Any], code: str) -> None:
    session = world.park()
    permission = {name: value for name, value in {**PERMISSION, **denied}.items() if value is not None}
    assert world.ask_transfer(session, permission=permission)["refused"] == code
    assert (world.session(session)["state"], world.sent(), in_use(world)) == ("parked", [], 0)


def test_calls_at_once_count_both(world: World) -> None:
    """A call that the app has made, and the one to which it is transferred, are two."""
    first = world.dial()
    world.sent()
    world.tell("session_answered", session_id=first)
    permission = {**PERMISSION, "calls_at_once": 2}
    assert world.ask_transfer(first, permission=permission)["status"] == "transferring"
    refused = world.ask_transfer(world.park(2), number=901, permission=permission)
    assert refused["detail"] == {"quota": "calls_at_once", "limit": 2, "used": 2}


def test_by_its_state(world: World) -> None:
    room = world.create()
    dialled = world.dial()
    assert world.ask_transfer(dialled)["refused"] == "still_dialing"
    session = world.park(2)
    world.ask("join", session_id=session, room_id=room)
    assert world.ask_transfer(session)["refused"] == "still_joining"
    world.tell("member_joined", session_id=session, room_id=room, member_id=2, flags=[])
    world.ask("leave", session_id=session)
    assert world.ask_transfer(session)["refused"] == "leaving"
    world.left(session, room, 2)
    world.sent()
    ringing(world, session)
    assert world.ask_transfer(session)["refused"] == "transferring"
    transferred(world, session)
    assert world.ask_transfer(session)["refused"] == "transferred"
    assert world.ask("join", session_id=session, room_id=room)["refused"] == "transferred"
    assert world.ask("leave", session_id=session)["refused"] == "not_in_room"


def test_a_repeat(world: World) -> None:
    session = world.park()
    asked = {"command_uid": "t-1", "body": "+4930123456"}
    assert world.ask_transfer(session, **asked) == world.ask_transfer(session, number=901, **asked)
    assert len(world.sent()) == 1


def test_the_comparison_is_told_of_what_the_node_knows(world: World) -> None:
    session = world.park()
    world.ask_transfer(session)

    def row() -> dict[str, Any]:
        (found,) = world.tell("snapshot", node=NODE, what="sessions", cursor="0")["rows"]
        return dict(found)

    assert ("transfer" in row(), row()["state"]) == (False, "transferring")
    world.sent()
    assert row()["transfer"] == LEG
    transferred(world, session)
    assert row()["transfer"] == LEG


def test_a_room_that_is_deleted_meanwhile(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    ringing(world, session)
    world.ask("delete_room", room_id=room)
    world.webhooks()
    world.left(session, room)
    ((_, data),) = world.webhooks()
    assert data["reason"] == "room_destroyed"
    assert world.leftovers(room) == []
    transferred(world, session)
    assert world.types() == ["session.transferred"]
