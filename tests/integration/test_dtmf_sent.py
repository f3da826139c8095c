"""Digits that the app sends to a call, from their command to what the node says of them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller.commands import SendDtmf
from controller.store import keys
from tests.integration.world import NODE, World


def send(world: World, session: str, digits: str = "12w#", **more: Any) -> dict[str, Any]:
    args = {"digits": digits, "duration": 250, "sending_ms": 0, **more}
    return world.ask("send_dtmf", command="dtmf", session_id=session, **args)


def test_to_a_parked_call(world: World) -> None:
    session = world.park()
    world.webhooks()
    assert send(world, session, command_uid="pin") == {"status": "sending"}
    (sent,) = world.sent()
    assert (sent["op"], sent["session"], sent["digits"], sent["duration"]) == ("dtmf", session, "12w#", 250)
    assert sent["channel"]
    assert world.webhooks() == []
    world.answer(sent["job"])
    ((kind, data),) = world.webhooks()
    assert (kind, data["length"], data["command_uid"]) == ("session.dtmf.sent", 4, "pin")
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))
    assert send(world, session) == {"status": "sending"}


@pytest.mark.parametrize("state", ["joining", "joined", "leaving"])
def test_to_a_member_or_one_on_its_way(world: World, state: str) -> None:
    room = world.create()
    session = world.park() if state == "joining" else world.joined(room)
    if state != "joined":
        world.ask({"joining": "join", "leaving": "leave"}[state], session_id=session, room_id=room)
    world.sent()
    world.webhooks()
    assert send(world, session) == {"status": "sending", "room_id": room}
    (sent,) = world.sent()
    world.answer(sent["job"])
    assert world.types() == ["session.dtmf.sent"]
    assert world.session(session)["state"] == state


def test_one_command_at_a_time(world: World) -> None:
    session, other = world.park(1), world.park(2)
    send(world, session, command_uid="a")
    assert send(world, session, command_uid="b")["refused"] == "dtmf_pending"
    assert send(world, session, command_uid="a") == {"status": "sending"}
    assert send(world, other) == {"status": "sending"}
    first, second = world.sent()
    assert (first["session"], second["session"]) == (session, other)


def test_the_next_wait_until_these_are_out(world: World) -> None:
    session = world.park()
    asked = SendDtmf(app_id=world.app_id, session_id=session, digits="1wW#", duration=250).arguments()
    assert asked["sending_ms"] == 2 * (250 + 40) + 500 + 1000
    send(world, session, sending_ms=3_600_000)
    (sent,) = world.sent()
    world.answer(sent["job"])
    refused = send(world, session)
    assert (refused["refused"], refused["detail"]["group"]) == ("rate_limited", "dtmf")
    assert refused["detail"]["retry_after_ms"] > 3_000_000


def test_a_command_uid_names_the_digits_too_and_keeps_them_secret(world: World) -> None:
    session = world.park()
    named = {"app_id": world.app_id, "session_id": session, "command_uid": "pin", "duration": 250}
    for digits, answer in (("4711", "sending"), ("4711", "sending"), ("4712", "command_uid_taken")):
        reply = world.ask("send_dtmf", command="dtmf", **SendDtmf(**named, digits=digits).arguments())
        assert (reply.get("status") or reply["refused"]) == answer
    assert len(world.sent()) == 1
    assert "4711" not in str(world.store.client.get(keys.key(world.tag, "answer", world.app_id, "pin")))
    assert "4711" not in str(SendDtmf(**named, digits="4711"))


@pytest.mark.parametrize(
    ("result", "reason"),
    [({"reason": "refused", "text": "-ERR Operation failed"}, "refused"), ({"reason": "hangup"}, "hangup")],
)
def test_those_that_the_node_does_not_take(world: World, result: dict[str, str], reason: str) -> None:
    session = world.park()
    send(world, session, command_uid="pin")
    (sent,) = world.sent()
    world.webhooks()
    world.answer(sent["job"], ok=False, **result)
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["command_uid"]) == ("session.command.failed", "dtmf", "pin")
    assert data["reason"] == reason
    assert send(world, session) == {"status": "sending"}


@pytest.mark.parametrize(("taken", "reason"), [(False, "node_unreachable"), (True, "no_answer")])
def test_those_without_a_result(world: World, taken: bool, reason: str) -> None:
    session = world.park()
    send(world, session, command_uid="pin")
    if taken:
        world.sent()
    world.webhooks()
    world.overdue()
    ((kind, data),) = world.webhooks()
    assert (kind, data["reason"], data["command_uid"]) == ("session.command.failed", reason, "pin")


@pytest.mark.parametrize(("more", "reason"), [({}, "hangup"), ({"node_lost": True}, "node_lost")])
def test_a_call_that_ends_first(world: World, more: dict[str, bool], reason: str) -> None:
    session = world.park()
    send(world, session, command_uid="pin")
    (sent,) = world.sent()
    world.webhooks()
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING", **more)
    world.answer(sent["job"])
    (failed, ended) = world.webhooks()
    assert (failed[0], failed[1]["reason"], failed[1]["command_uid"]) == ("session.command.failed", reason, "pin")
    assert (ended[0], "command_uid" in ended[1]) == ("session.ended", False)


def test_a_hang_up_behind_them(world: World) -> None:
    session = world.park()
    send(world, session, command_uid="pin")
    world.ask("hang_up", session_id=session, cause="USER_BUSY", command_uid="bye")
    digits, _ = world.sent()
    world.webhooks()
    world.answer(digits["job"])
    world.tell("session_ended", session_id=session, cause="USER_BUSY")
    assert [(kind, data["command_uid"]) for kind, data in world.webhooks()] == [
        ("session.dtmf.sent", "pin"),
        ("session.ended", "bye"),
    ]


def test_what_keeps_them_back(world: World) -> None:
    session = world.park()
    world.nodes[NODE]["up"] = False
    assert send(world, session)["refused"] == "node_down"
    world.nodes[NODE]["up"] = True
    assert send(World(world.store, "other"), session)["refused"] in ("session_not_found", "session_forbidden")
    assert world.sent() == []


def test_the_event_log_has_who_sent_them_and_not_the_digits(world: World) -> None:
    session = world.park()
    send(world, session, "471147114711", actor="carol")
    (sent,) = world.sent()
    world.answer(sent["job"])
    log = world.store.client.xrange(keys.key(world.tag, "log"))
    lines = [orjson.loads(fields[b"e"]) for _, fields in log]
    assert [(line["kind"], line["type"]) for line in lines if line.get("actor") == "carol"] == [
        ("command", "dtmf"),
        ("sent", "dtmf"),
        ("answer", "dtmf"),
        ("webhook", "session.dtmf.sent"),
    ]
    assert "4711" not in str(log)
    # Nothing that stays has them.
    everything = [world.store.client.dump(key) for key in world.store.client.keys("*")]
    assert not [dumped for dumped in everything if dumped and b"471147114711" in dumped]
