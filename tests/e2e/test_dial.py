"""Calls that an app makes: dialled by the node, at a gateway that answers, or does not."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from esl.commands import Dial
from tests.e2e.gateway import DEAD, FORBIDDEN, EmulatedGateway, Gateway
from tests.e2e.nodes import Node
from tests.e2e.system import CALLER_ID, Answer, Receiver, Switchroom

SESSIONS = "/api/v1/sessions"
_numbers = itertools.count(10000)

AnyGateway = Gateway | EmulatedGateway
DialOut = Callable[..., tuple[str, str]]


def number(end: str) -> str:
    """One that nobody has called. What becomes of a call is its end."""
    return f"+4930{next(_numbers)}{end}"


@pytest.fixture
def dial_out(room_service: Switchroom) -> DialOut:
    """-> the number and the session."""

    def dial_out(end: str = "200", to: str = "", **more: Any) -> tuple[str, str]:
        to = to or number(end)
        answer = room_service.post(SESSIONS, {"to": to, "from": CALLER_ID, **more})
        assert answer.status == 202, answer
        assert answer.body["status"] == "dialing"
        return to, answer.body["uuid"]

    return dial_out


def of_session(hooks: Receiver, session: str) -> list[str]:
    return [hook["type"] for hook in hooks.of(uuid=session) if hook["type"].startswith("session.")]


def test_a_call_that_is_answered(
    hooks: Receiver, room_service: Switchroom, gateway: AnyGateway, dial_out: DialOut
) -> None:
    to, session = dial_out(command_uid="dial-1")
    answered = hooks.wait("session.answered", uuid=session)
    assert (answered["did"], answered["caller_id"], answered["command_uid"]) == (to, CALLER_ID, "dial-1")
    assert of_session(hooks, session) == ["session.dialing", "session.ringing", "session.answered"]
    assert gateway.calls.count(to) == 1
    assert gateway.callers[gateway.calls.index(to)] == CALLER_ID
    shown = room_service.get(f"{SESSIONS}/{session}").body
    assert (shown["state"], shown["did"], shown["caller_id"]) == ("parked", to, CALLER_ID)
    gateway.hang_up(to)
    ended = hooks.wait("session.ended", uuid=session)
    assert ended["cause"] == "NORMAL_CLEARING"
    assert room_service.get(f"{SESSIONS}/{session}").status == 404


@pytest.mark.parametrize(
    ("end", "cause", "hangup_cause"),
    [
        ("486", "busy", "USER_BUSY"),
        ("603", "rejected", "CALL_REJECTED"),
        ("403", "rejected", "CALL_REJECTED"),
        ("404", "invalid_number", "UNALLOCATED_NUMBER"),
        ("480", "no_answer", "NO_USER_RESPONSE"),
    ],
)
def test_a_call_that_is_not_taken(
    end: str, cause: str, hangup_cause: str, hooks: Receiver, room_service: Switchroom, dial_out: DialOut
) -> None:
    _, session = dial_out(end, command_uid=f"dial-{end}")
    failed = hooks.wait("session.failed", uuid=session)
    assert (failed["cause"], failed["hangup_cause"], failed["command_uid"]) == (cause, hangup_cause, f"dial-{end}")
    assert of_session(hooks, session) == ["session.dialing", "session.failed"]
    assert room_service.get(f"{SESSIONS}/{session}").status == 404


def test_a_call_that_nobody_answers(hooks: Receiver, gateway: AnyGateway, dial_out: DialOut) -> None:
    to, session = dial_out("180", timeout=5)
    failed = hooks.wait("session.failed", uuid=session)
    assert (failed["cause"], failed["hangup_cause"]) == ("no_answer", "NO_ANSWER")
    assert of_session(hooks, session) == ["session.dialing", "session.ringing", "session.failed"]
    gateway.wait_over(to)


@pytest.mark.parametrize("user", ["anna.b_c-", "+49881", "fs_path.transport.", "Z"])
def test_a_sip_uri_that_answers(
    user: str, hooks: Receiver, room_service: Switchroom, gateway: AnyGateway, dial_out: DialOut
) -> None:
    name = f"{user}{next(_numbers)}200"
    to, session = dial_out(to=f"sip:{name}@{gateway.address}")
    answered = hooks.wait("session.answered", uuid=session)
    assert (answered["did"], answered["caller_id"]) == (to, CALLER_ID)
    assert (gateway.calls.count(name), gateway.callers[gateway.calls.index(name)]) == (1, CALLER_ID)
    listed = room_service.get(f"{SESSIONS}?did={to.replace('+', '%2B')}").body["sessions"]
    assert [row["uuid"] for row in listed] == [session]
    gateway.hang_up(name)
    assert hooks.wait("session.ended", uuid=session)["cause"] == "NORMAL_CLEARING"


def test_a_sip_uri_that_is_busy(hooks: Receiver, gateway: AnyGateway, dial_out: DialOut) -> None:
    _, session = dial_out(to=f"sip:anna{next(_numbers)}486@{gateway.address}")
    assert hooks.wait("session.failed", uuid=session)["cause"] == "busy"


def test_nobody_is_there(hooks: Receiver, dial_out: DialOut) -> None:
    _, session = dial_out(to=f"sip:anna{next(_numbers)}@{DEAD}")
    failed = hooks.wait("session.failed", uuid=session)
    assert (failed["cause"], failed["hangup_cause"]) == ("unreachable", "NORMAL_TEMPORARY_FAILURE")
    assert of_session(hooks, session) == ["session.dialing", "session.failed"]


def test_a_sip_uri_at_another_host(room_service: Switchroom, gateway: AnyGateway) -> None:
    before = list(gateway.calls)
    host, _, port = gateway.address.rpartition(":")
    allowed = f"sip:anna200@{gateway.address}"
    for to, app in (
        (f"sip:anna200@{host}", "alpha"),
        (f"sip:anna200@{host}:{int(port) - 1}", "alpha"),
        (f"sip:anna200@{host}0:{port}", "alpha"),
        (f"sip:anna200@pbx.example.com:{port}", "alpha"),
        (allowed, "beta"),
    ):
        refused = room_service.post(SESSIONS, {"to": to, "from": CALLER_ID}, app=app)
        assert (refused.status, refused.headers["x-error-code"]) == (403, "destination_forbidden"), to
    refused = room_service.post(SESSIONS, {"to": allowed, "from": allowed})
    assert refused.status == 400
    assert gateway.calls == before


def test_a_redirect_is_not_followed(hooks: Receiver, gateway: AnyGateway, dial_out: DialOut) -> None:
    _, session = dial_out("302")
    assert hooks.wait("session.failed", uuid=session)["cause"] == "rejected"
    assert FORBIDDEN not in gateway.calls


def test_a_call_that_is_cancelled(
    hooks: Receiver, room_service: Switchroom, gateway: AnyGateway, dial_out: DialOut
) -> None:
    to, session = dial_out("180", command_uid="dial-9")
    hooks.wait("session.ringing", uuid=session)
    assert room_service.post(f"{SESSIONS}/{session}/commands/conference/mute").status == 404
    assert room_service.request("DELETE", f"{SESSIONS}/{session}", {"command_uid": "bye-9"}).status == 202
    failed = hooks.wait("session.failed", uuid=session)
    assert (failed["cause"], failed["command_uid"], failed["cancelled_by"]) == ("cancelled", "dial-9", "bye-9")
    gateway.wait_over(to)


def test_a_call_that_is_cancelled_at_once(
    hooks: Receiver, room_service: Switchroom, gateway: AnyGateway, dial_out: DialOut
) -> None:
    """Whether the node has been told, has it already, or neither."""
    to, session = dial_out("180")
    assert room_service.request("DELETE", f"{SESSIONS}/{session}").status == 202
    assert hooks.wait("session.failed", uuid=session)["cause"] == "cancelled"
    gateway.wait_over(to)


def test_a_call_joins_its_room_when_it_is_answered(
    hooks: Receiver, room_service: Switchroom, gateway: AnyGateway, dial_out: DialOut, new_room: Callable[[], str]
) -> None:
    room = new_room()
    to, session = dial_out(room_id=room, muted=False, role="moderator", tags=["called"])
    joined = hooks.wait("conference.member.joined", uuid=session)
    assert (joined["room_id"], joined["muted"], joined["role"], joined["tags"]) == (
        room,
        False,
        "moderator",
        ["called"],
    )
    (member,) = room_service.get(f"/api/v1/conferences/{room}/members").body["members"]
    assert (member["uuid"], member["did"]) == (session, to)
    assert room_service.post(f"{SESSIONS}/{session}/commands/conference/leave").status == 202
    hooks.wait("conference.member.left", uuid=session)
    # It has parked again, as it did when it was answered.
    assert room_service.post(f"{SESSIONS}/{session}/commands/conference/join", {"room_id": room}).status == 202
    room_service.request("DELETE", f"{SESSIONS}/{session}")
    hooks.wait("session.ended", uuid=session)
    assert of_session(hooks, session).count("session.answered") == 1
    assert "session.started" not in of_session(hooks, session)
    gateway.wait_over(to)


def test_a_room_that_is_locked_meanwhile(
    hooks: Receiver, room_service: Switchroom, gateway: AnyGateway, dial_out: DialOut, new_room: Callable[[], str]
) -> None:
    room = new_room()
    to, session = dial_out(room_id=room)
    assert room_service.request("PATCH", f"/api/v1/conferences/{room}", {"locked": True}).status == 200
    hooks.wait("session.answered", uuid=session)
    if room_service.get(f"{SESSIONS}/{session}").body["state"] != "parked":
        pytest.skip("it was answered before")
    failed = hooks.wait("session.command.failed", uuid=session)
    assert (failed["command"], failed["reason"]) == ("join", "room_locked")
    gateway.hang_up(to)
    hooks.wait("session.ended", uuid=session)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"to": "+88299999", "from": CALLER_ID}, "destination_forbidden"),
        ({"to": "4930123456", "from": CALLER_ID}, "destination_forbidden"),
        ({"to": "004930123456", "from": CALLER_ID}, "destination_forbidden"),
        ({"to": "+4930", "from": CALLER_ID}, "destination_forbidden"),
        ({"to": "1120", "from": CALLER_ID}, "destination_forbidden"),
        ({"to": "+4930123456", "from": CALLER_ID + "1"}, "caller_id_forbidden"),
        ({"to": "+4930123456", "from": CALLER_ID[1:]}, "caller_id_forbidden"),
    ],
)
def test_what_an_app_may_not_dial(
    body: dict[str, str], code: str, room_service: Switchroom, gateway: AnyGateway
) -> None:
    before = list(gateway.calls)
    refused = room_service.post(SESSIONS, body)
    assert (refused.status, refused.headers["x-error-code"]) == (403, code)
    assert gateway.calls == before


def test_what_another_app_may_dial(room_service: Switchroom) -> None:
    refused = room_service.post(SESSIONS, {"to": "+4930123456", "from": CALLER_ID}, app="beta")
    assert (refused.status, refused.headers["x-error-code"]) == (403, "destination_forbidden")


HOSTILE = [
    "+4930123@evil.example", "+4930123;transport=tcp", "+4930 123", "+4930123\n", "+4930'", "+49{x=1}30", "+4930123,x=y",
    "+49301234567890123", "+", "", "4", "+4930*", "+٤٩٣٠١٢٣", "tel:+4930123", "sofia/public/112@evil.example", "+4930%0d%0a",
    "SIP:a@a.example", "sips:a@a.example", "sip:a.example", "sip:@a.example", "sip:a@", "sip:a@A.example", "sip:a:pw@a.example",
    "sip:a@a.example;transport=tcp", "sip:a@a.example?X=1", "sip:a@b@a.example", "sip:a@a.example,sofia/public/112@b.example",
    "sip:a|b@a.example", "sip:a:_:b@a.example", "sip:[x=1]a@a.example", "sip:{x=1}a@a.example", "sip:a%40b@a.example", "sip:a^b@a.example",
    "sip:a b@a.example", "sip:a'@a.example", "sip:a${x}@a.example", "sip:a&b@a.example", "sip:a/b@a.example", "sip:*@a.example",
    "sip:\u00e4@a.example", "sip:a@\u00e4.example", "sip:a@[::1]", "sip:a@::1", "sip:a@a.example:0", "sip:a@a.example:65536", "sip:a@a.example:05060",
    "sip:a@a.example.", "sip:a@localhost", "sip:a@127.1", "sip:a@0x7f.0.0.1", "sip:a@127.0.0.01", "sip:a@a.example\n", "sip:a@-a.example", "sip:a@a_b.example",
    f"sip:{'a' * 65}@a.example", f"sip:a@{'a.' * 100}example",
]  # fmt: skip


@pytest.mark.parametrize("field", ["to", "from"])
@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_number(field: str, text: str, room_service: Switchroom, gateway: AnyGateway) -> None:
    before = list(gateway.calls)
    body = {"to": "+4930123456", "from": CALLER_ID, field: text}
    answer: Answer = room_service.post(SESSIONS, body)
    assert (answer.status, answer.body["detail"]["fields"][0]["field"]) == (400, field)
    assert gateway.calls == before


def test_a_call_lasts_no_longer_than_its_app_may_call(
    hooks: Receiver, gateway: AnyGateway, room_service: Switchroom
) -> None:
    """The node ends it by itself."""
    to = number("200").replace("+4930", "+4940")
    session = room_service.post(SESSIONS, {"to": to, "from": CALLER_ID}, app="beta").body["uuid"]
    hooks.wait("session.answered", uuid=session)
    assert hooks.wait("session.ended", uuid=session)["cause"] == "ALLOTTED_TIMEOUT"
    gateway.wait_over(to)


def test_a_call_that_nobody_knows_is_hung_up(node: Node, room_service: Switchroom, gateway: AnyGateway) -> None:
    """As if its session had been given up before the node got to it."""
    assert room_service.get("/readyz").status == 200
    to = number("200")
    node.command(Dial(str(uuid.uuid4()), to, CALLER_ID, 10, 60, gateway.address, "public"))
    gateway.wait_over(to)
