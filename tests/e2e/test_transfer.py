"""Calls that are transferred to numbers, at a gateway that answers, or does not."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable

import pytest

from esl.commands import Transfer
from tests.e2e.conftest import Dial
from tests.e2e.gateway import DEAD, FORBIDDEN, EmulatedGateway, Gateway
from tests.e2e.nodes import Node
from tests.e2e.system import CALLER_ID, DIDS, Media, Receiver, Switchroom

SESSIONS = "/api/v1/sessions"
_numbers = itertools.count(20000)

AnyGateway = Gateway | EmulatedGateway
NewRoom = Callable[[], str]
JoinRoom = Callable[[str, str], dict[str, object]]


def number(end: str) -> str:
    """One that nobody has called. What becomes of a call is its end."""
    return f"+4930{next(_numbers)}{end}"


@pytest.fixture
def transfer(room_service: Switchroom) -> Callable[..., str]:
    """-> the number."""

    def transfer(session: str, end: str = "200", to: str = "", **more: object) -> str:
        to = to or number(end)
        answer = room_service.post(f"{SESSIONS}/{session}/commands/transfer", {"to": to, **more})
        assert (answer.status, answer.body) == (202, {"uuid": session, "status": "transferring"})
        return to

    return transfer


@pytest.mark.parametrize("end", ["200", "486"])
def test_a_member_is_transferred_to_a_sip_uri(
    end: str,
    hooks: Receiver,
    room_service: Switchroom,
    gateway: AnyGateway,
    dial: Dial,
    new_room: NewRoom,
    join: JoinRoom,
    transfer: Callable[..., str],
) -> None:
    session, call = dial()
    join(session, new_room())
    name = f"anna.b_c-{next(_numbers)}{end}"
    to = transfer(session, to=f"sip:{name}@{gateway.address}")
    if end == "200":
        told = hooks.wait("session.transferred", uuid=session)
        assert (told["to"], gateway.callers[gateway.calls.index(name)]) == (to, CALLER_ID)
        call.hang_up()
        hooks.wait("session.ended", uuid=session)
    else:
        failed = hooks.wait("session.transfer_failed", uuid=session)
        assert (failed["to"], failed["cause"]) == (to, "busy")
        assert state(room_service, session) == "parked"
    gateway.wait_over(name)


@pytest.mark.parametrize("is_member", [False, True])
def test_nobody_is_there(
    is_member: bool,
    hooks: Receiver,
    room_service: Switchroom,
    dial: Dial,
    new_room: NewRoom,
    join: JoinRoom,
    transfer: Callable[..., str],
) -> None:
    session, call = dial()
    room = new_room()
    if is_member:
        join(session, room)
    transfer(session, to=f"sip:anna{next(_numbers)}@{DEAD}")
    failed = hooks.wait("session.transfer_failed", uuid=session)
    assert (failed["cause"], failed["hangup_cause"]) == ("unreachable", "NORMAL_TEMPORARY_FAILURE")
    shown = room_service.get(f"{SESSIONS}/{session}").body
    assert (shown["state"], shown["transferred_to"]) == ("parked", None)
    join(session, room)
    call.hang_up()
    hooks.wait("session.ended", uuid=session)


def state(service: Switchroom, session: str) -> str:
    return str(service.get(f"{SESSIONS}/{session}").body["state"])


@pytest.mark.parametrize("who", ["called", "caller", "app"])
def test_a_member_is_transferred_to_a_number_that_answers(
    who: str,
    hooks: Receiver,
    room_service: Switchroom,
    gateway: AnyGateway,
    dial: Dial,
    new_room: NewRoom,
    join: JoinRoom,
    transfer: Callable[..., str],
) -> None:
    room = new_room()
    session, call = dial()
    join(session, room)
    uid = f"t-{session}"
    to = transfer(session, **{"from": CALLER_ID, "command_uid": uid})
    assert hooks.wait("conference.member.left", uuid=session)["reason"] == "transferring"
    told = hooks.wait("session.transferred", uuid=session)
    assert (told["to"], told["shown_as"], told["command_uid"]) == (to, CALLER_ID, uid)
    assert gateway.callers[gateway.calls.index(to)] == CALLER_ID
    assert state(room_service, session) == "transferred"
    (listed,) = room_service.get(f"{SESSIONS}?state=transferred").body["sessions"]
    assert (listed["uuid"], listed["transferred_to"]) == (session, to)
    refused = room_service.post(f"{SESSIONS}/{session}/commands/conference/join", {"room_id": room})
    assert (refused.status, refused.headers["x-error-code"]) == (409, "transferred")
    if who == "called":
        gateway.hang_up(to)
    elif who == "caller":
        call.hang_up()
    else:
        assert room_service.request("DELETE", f"{SESSIONS}/{session}", {"cause": "busy"}).status == 202
    ended = hooks.wait("session.ended", uuid=session)
    assert ended["cause"] == ("USER_BUSY" if who == "app" else "NORMAL_CLEARING")
    gateway.wait_over(to)
    call.wait_ended()
    assert room_service.get(f"{SESSIONS}/{session}").status == 404


@pytest.mark.parametrize(
    ("end", "cause", "hangup_cause"),
    [
        ("486", "busy", "USER_BUSY"),
        ("603", "rejected", "CALL_REJECTED"),
        ("404", "invalid_number", "UNALLOCATED_NUMBER"),
    ],
)
def test_a_number_that_does_not_take_it(
    end: str,
    cause: str,
    hangup_cause: str,
    hooks: Receiver,
    room_service: Switchroom,
    dial: Dial,
    new_room: NewRoom,
    join: JoinRoom,
    transfer: Callable[..., str],
) -> None:
    """The call is parked again, joins anew, and leaves as any other."""
    room = new_room()
    session, _ = dial()
    join(session, room)
    transfer(session, end, command_uid=f"t-{session}")
    failed = hooks.wait("session.transfer_failed", uuid=session)
    assert (failed["cause"], failed["hangup_cause"], failed["command_uid"]) == (cause, hangup_cause, f"t-{session}")
    assert failed["shown_as"] == CALLER_ID
    assert state(room_service, session) == "parked"
    join(session, room)
    assert room_service.post(f"{SESSIONS}/{session}/commands/conference/leave").status == 202
    assert hooks.wait("conference.member.left", uuid=session, reason="left")
    to = transfer(session)
    hooks.wait("session.transferred", uuid=session, to=to)
    assert hooks.types(uuid=session).count("session.transfer_failed") == 1
    assert hooks.types(uuid=session).count("session.started") == 1


def test_what_is_played_to_the_caller_ends(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, transfer: Callable[..., str]
) -> None:
    session, _ = dial()
    played = room_service.post(f"{SESSIONS}/{session}/commands/play", {"urls": [media.tone(20)]})
    assert played.status == 202, played
    transfer(session)
    finished = hooks.wait("session.play.finished", uuid=session)
    assert (finished["operation_id"], finished["status"]) == (played.body["operation_id"], "interrupted")
    hooks.wait("session.transferred", uuid=session)
    refused = room_service.post(f"{SESSIONS}/{session}/commands/play", {"urls": [media.tone(1)]})
    assert (refused.status, refused.headers["x-error-code"]) == (409, "transferred")


def test_a_number_that_nobody_answers(
    hooks: Receiver, room_service: Switchroom, gateway: AnyGateway, dial: Dial, transfer: Callable[..., str]
) -> None:
    session, _ = dial()
    to = transfer(session, "180", timeout=5)
    assert state(room_service, session) == "transferring"
    failed = hooks.wait("session.transfer_failed", uuid=session)
    assert (failed["cause"], failed["hangup_cause"]) == ("no_answer", "NO_ANSWER")
    gateway.wait_over(to)
    assert state(room_service, session) == "parked"


def test_a_redirect_is_not_followed(
    hooks: Receiver, gateway: AnyGateway, dial: Dial, transfer: Callable[..., str]
) -> None:
    session, _ = dial()
    transfer(session, "302")
    assert hooks.wait("session.transfer_failed", uuid=session)["cause"] == "rejected"
    assert FORBIDDEN not in gateway.calls


@pytest.mark.freeswitch
def test_the_gateway_is_told_nothing_of_the_caller(
    hooks: Receiver, node: Node, gateway: Gateway, transfer: Callable[..., str]
) -> None:
    caller = f"5299{next(_numbers)}"
    told = {"X_Secret": "hidden-1", "Privacy": "id", "P_Asserted_Identity": f"<sip:{caller}@hidden-2.example>"}
    more = {"Diversion": "<sip:hidden-3@example.com>", "User_to_User": "hidden-4", "Call_Info": "<sip:hidden-5>"}
    call = node.call(DIDS["alpha"], caller, **told, **more)
    session = str(hooks.wait("session.started", caller_id=caller)["uuid"])
    to = transfer(session)
    hooks.wait("session.transferred", uuid=session)
    for text in ("hidden", "Secret", "Privacy: id", "Diversion", caller):
        assert text not in gateway.invites[to]
    call.hang_up()
    gateway.wait_over(to)


@pytest.mark.parametrize("who", ["caller", "app"])
def test_the_call_ends_while_the_number_rings(
    who: str,
    hooks: Receiver,
    room_service: Switchroom,
    gateway: AnyGateway,
    dial: Dial,
    transfer: Callable[..., str],
) -> None:
    session, call = dial()
    to = transfer(session, "180")
    gateway.wait_called(to)
    if who == "caller":
        call.hang_up()
    else:
        assert room_service.request("DELETE", f"{SESSIONS}/{session}").status == 202
    assert hooks.wait("session.transfer_failed", uuid=session)["cause"] == "cancelled"
    hooks.wait("session.ended", uuid=session)
    gateway.wait_over(to)
    call.wait_ended()


def test_a_call_that_the_app_has_made(
    hooks: Receiver, room_service: Switchroom, gateway: AnyGateway, transfer: Callable[..., str]
) -> None:
    first = number("200")
    session = room_service.post(SESSIONS, {"to": first, "from": CALLER_ID}).body["uuid"]
    hooks.wait("session.answered", uuid=session)
    second = transfer(session)
    hooks.wait("session.transferred", uuid=session)
    gateway.hang_up(first)
    hooks.wait("session.ended", uuid=session)
    gateway.wait_over(second)
    assert hooks.types(uuid=session).count("session.answered") == 1


@pytest.mark.parametrize("where", ["parked", "member"])
@pytest.mark.parametrize("end", ["200", "486"])
def test_a_call_that_is_played_to_is_transferred(
    where: str,
    end: str,
    hooks: Receiver,
    room_service: Switchroom,
    media: Media,
    dial: Dial,
    new_room: NewRoom,
    join: JoinRoom,
    transfer: Callable[..., str],
) -> None:
    session, _ = dial()
    if where == "member":
        join(session, new_room())
    play = f"{SESSIONS}/{session}/commands/play"
    assert room_service.post(play, {"urls": [media.tone(60, "before")]}).status == 202
    transfer(session, end)
    assert hooks.wait("session.play.finished", uuid=session)["status"] == "interrupted"
    if end == "200":
        hooks.wait("session.transferred", uuid=session)
        assert room_service.post(play, {"urls": [media.tone(1)]}).headers["x-error-code"] == "transferred"
        return
    assert hooks.wait("session.transfer_failed", uuid=session)["cause"] == "busy"
    operation = room_service.post(play, {"urls": [media.tone(1, "after")]}).body["operation_id"]
    assert hooks.wait("session.play.finished", operation_id=operation)["status"] == "completed"
    assert state(room_service, session) == "parked"


def test_what_an_app_may_not(room_service: Switchroom, gateway: AnyGateway, dial: Dial) -> None:
    session, _ = dial()
    before = list(gateway.calls)
    path = f"{SESSIONS}/{session}/commands/transfer"
    for body, code in (
        ({"to": "+88299999"}, "destination_forbidden"),
        ({"to": "+4930123456", "from": CALLER_ID + "1"}, "caller_id_forbidden"),
    ):
        refused = room_service.post(path, body)
        assert (refused.status, refused.headers["x-error-code"]) == (403, code)
    for hostile in (
        "+4930123@evil.example",
        "+4930^park:",
        "+4930123\n",
        "+4930'",
        "sip:a@b",
        "sip:a^b@a.example",
        "sip:a@a.example^park:",
    ):
        assert room_service.post(path, {"to": hostile}).status == 400
    assert gateway.calls == before
    assert state(room_service, session) == "parked"


def test_it_lasts_no_longer_than_the_app_may_call(
    hooks: Receiver, gateway: AnyGateway, room_service: Switchroom, dial: Dial
) -> None:
    """The node ends it by itself."""
    session, call = dial("beta")
    to = number("200").replace("+4930", "+4940")
    asked = room_service.post(f"{SESSIONS}/{session}/commands/transfer", {"to": to}, app="beta")
    assert asked.status == 202, asked
    hooks.wait("session.transferred", uuid=session)
    assert hooks.wait("session.ended", uuid=session)["cause"] == "ALLOTTED_TIMEOUT"
    gateway.wait_over(to)
    call.wait_ended()


def test_a_transfer_that_nobody_asked_for_ends_when_it_is_answered(
    node: Node, gateway: AnyGateway, room_service: Switchroom, hooks: Receiver, dial: Dial
) -> None:
    """As if it had been given up before the node got to it."""
    session, call = dial()
    to = number("200")
    channel = node.channel(room_service.get(f"{SESSIONS}/{session}").body["caller_id"])
    node.command(Transfer(channel, str(uuid.uuid4()), to, CALLER_ID, 10, 60, gateway.address, "public"))
    gateway.wait_called(to)
    gateway.wait_over(to)
    hooks.wait("session.ended", uuid=session)
    call.wait_ended()
    assert "session.transferred" not in hooks.types(uuid=session)
