"""A call that the app ends, from its command to what the node says of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller.commands import HangUp
from controller.store import keys
from tests.integration.world import NODE, World


def hang_up(world: World, session: str, **more: Any) -> dict[str, Any]:
    return world.ask("hang_up", session_id=session, cause="USER_BUSY", **more)


def end(world: World, session: str, cause: str = "USER_BUSY") -> dict[str, Any]:
    return world.tell("session_ended", session_id=session, cause=cause)


def test_a_parked_call(world: World) -> None:
    session = world.park()
    world.webhooks()
    assert hang_up(world, session, command_uid="bye") == {"status": "hanging_up"}
    (sent,) = world.sent()
    assert (sent["op"], sent["session"], sent["cause"]) == ("hang_up", session, "USER_BUSY")
    assert sent["channel"]
    world.answer(sent["job"])
    assert world.webhooks() == []
    assert end(world, session)["command"] == "hang_up"
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"], data["command_uid"]) == ("session.ended", "USER_BUSY", "bye")
    assert not world.store.client.exists(keys.key(world.tag, "due", NODE))
    assert hang_up(world, session)["refused"] == "session_not_found"


@pytest.mark.parametrize("is_told", [True, False])
def test_a_member_is_out_by_the_hang_up(world: World, is_told: bool) -> None:
    room = world.create()
    session = world.joined(room)
    world.webhooks()
    hang_up(world, session, command_uid="bye")
    if is_told:
        world.left(session, room, cause="USER_BUSY")
    end(world, session)
    assert [(kind, data["command_uid"]) for kind, data in world.webhooks()] == [
        ("conference.member.left", "bye"),
        ("session.ended", "bye"),
    ]


@pytest.mark.parametrize("state", ["joining", "joined", "leaving"])
def test_a_call_in_a_room_or_on_its_way(world: World, state: str) -> None:
    room = world.create()
    session = world.park() if state == "joining" else world.joined(room)
    if state != "joined":
        world.ask({"joining": "join", "leaving": "leave"}[state], session_id=session, room_id=room)
    world.sent()
    world.webhooks()
    assert hang_up(world, session, command_uid="bye")["room_id"] == room
    (sent,) = world.sent()
    assert sent["op"] == "hang_up"
    if state != "joining":
        world.left(session, room, cause="USER_BUSY")
    end(world, session)
    (of_room, ended) = world.webhooks()
    assert of_room[0] == ("conference.member.join_failed" if state == "joining" else "conference.member.left")
    assert (ended[0], ended[1]["command_uid"]) == ("session.ended", "bye")
    assert world.room(room)["members"] == 0


def test_a_command_uid_names_the_cause_too(world: World) -> None:
    session = world.park()
    named = {"app_id": world.app_id, "session_id": session, "command_uid": "bye"}
    for cause, answer in (("busy", "hanging_up"), ("busy", "hanging_up"), ("normal", "command_uid_taken")):
        reply = world.ask("hang_up", **HangUp(**named, cause=cause).arguments())
        assert (reply.get("status") or reply["refused"]) == answer
    assert [command["cause"] for command in world.sent()] == ["USER_BUSY"]


def test_a_repeat_is_accepted_and_sends_nothing_more(world: World) -> None:
    session = world.park()
    for _ in range(2):
        assert hang_up(world, session, command_uid="bye")["status"] == "hanging_up"
    world.limits["cooldowns"] = {**world.limits["cooldowns"], "hang_up": 2000}
    assert hang_up(world, session, command_uid="again")["status"] == "hanging_up"
    assert len(world.sent()) == 1
    world.webhooks()
    end(world, session)
    assert [data["command_uid"] for _, data in world.webhooks()] == ["bye"]


def test_a_call_that_is_gone_already_ends_by_its_event(world: World) -> None:
    session = world.park()
    hang_up(world, session, command_uid="bye")
    (sent,) = world.sent()
    world.webhooks()
    world.answer(sent["job"], ok=False, reason="hangup")
    assert world.webhooks() == []
    end(world, session, "NORMAL_CLEARING")
    ((kind, data),) = world.webhooks()
    assert (kind, data["cause"]) == ("session.ended", "NORMAL_CLEARING")


def test_one_that_the_node_refuses_can_be_tried_again(world: World) -> None:
    session = world.park()
    hang_up(world, session, command_uid="bye")
    (sent,) = world.sent()
    world.webhooks()
    world.answer(sent["job"], ok=False, reason="refused", text="-ERR no")
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["command_uid"], data["reason"]) == (
        *("session.command.failed", "hang_up"),
        *("bye", "refused"),
    )
    assert world.session(session)["state"] == "parked"
    hang_up(world, session)
    world.sent()
    end(world, session)
    ((kind, data),) = world.webhooks()
    assert (kind, "command_uid" in data) == ("session.ended", False)


@pytest.mark.parametrize(
    ("taken", "answered", "reason"),
    [(False, False, "node_unreachable"), (True, False, "no_answer"), (True, True, "not_confirmed")],
)
def test_one_that_the_node_does_not_confirm(world: World, taken: bool, answered: bool, reason: str) -> None:
    session = world.park()
    hang_up(world, session, command_uid="bye")
    for command in world.sent() if taken else ():
        if answered:
            world.answer(command["job"])
    world.webhooks()
    world.overdue(kind="job")
    world.overdue()
    ((kind, data),) = world.webhooks()
    assert (kind, data["reason"], data["command_uid"]) == ("session.command.failed", reason, "bye")
    assert end(world, session) == {"ended": True}


def test_what_keeps_it_back(world: World) -> None:
    session = world.park()
    world.nodes[NODE]["up"] = False
    assert hang_up(world, session)["refused"] == "node_down"
    world.nodes[NODE]["up"] = True
    stranger = World(world.store, "other")
    assert "refused" in hang_up(stranger, session)
    assert world.sent() == []


def test_the_event_log_has_who_hung_up(world: World) -> None:
    session = world.park()
    hang_up(world, session, actor="carol")
    world.sent()
    end(world, session)
    log = world.store.client.xrange(keys.key(world.tag, "log"))
    lines = [orjson.loads(fields[b"e"]) for _, fields in log]
    assert [(line["kind"], line["type"]) for line in lines if line.get("actor") == "carol"] == [
        ("command", "hang_up"),
        ("sent", "hang_up"),
        ("event", "hangup"),
        ("webhook", "session.ended"),
    ]
