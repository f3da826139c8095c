"""A caller who asks FreeSWITCH for another call, instead of a number (RFC 3891), and what becomes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from controller.nodes.translate import SUBSCRIPTION
from esl.connection import Connection
from esl.event import Event
from esl.guards import GUARDS
from tests.e2e.conftest import Dial
from tests.e2e.nodes import Node
from tests.e2e.system import DIDS, Receiver, Switchroom

EVE = "527100666"
NOBODYS = "999999999"
TAGS = ";to-tag=x;from-tag=y"
INFO = "<http://eve.example>;purpose=info"
# The headers of Eve's INVITE, from the channel's uuid and SIP's Call-ID of the call that she wants.
ATTACKS: dict[str, Callable[[str, str], dict[str, str]]] = {
    "listens in": lambda channel, _: {"Replaces": channel + TAGS, "Call_Info": INFO},
    "listens in, by the Call-ID": lambda _, call_id: {"Replaces": call_id + TAGS, "Call_Info": INFO},
    "intercepts": lambda channel, _: {"Replaces": channel + TAGS + ";a-leg=true"},
    "takes the place": lambda channel, _: {"Replaces": channel + TAGS},
    "takes the place, by the Call-ID": lambda _, call_id: {"Replaces": call_id + TAGS},
    "takes the place, insisting": lambda channel, _: {"Replaces": channel + TAGS + ";a-leg=no"},
    "asks for nobody": lambda _channel, _call_id: {"Replaces": "nobody" + TAGS},
}


@pytest.fixture(params=[True, False], ids=["guarded", "unguarded"])
def guarded(request: pytest.FixtureRequest, node: Node) -> Iterator[bool]:
    """With what `freeswitch-conf/` sets a node does most of it by itself; another configuration may not set it."""
    for name, value in GUARDS.items():
        node.command(f"global_setvar {name}={value if request.param else ''}")
    yield request.param
    for name, value in GUARDS.items():
        node.command(f"global_setvar {name}={value}")


def members(service: Switchroom, room: str) -> list[str]:
    return [one["uuid"] for one in service.get(f"/api/v1/conferences/{room}/members").body["members"]]


def caller_of(service: Switchroom, session: str) -> str:
    return str(service.get(f"/api/v1/sessions/{session}").body["caller_id"])


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_caller_who_asks_for_a_member_is_hung_up(
    room_service: Switchroom,
    node: Node,
    hooks: Receiver,
    dial: Dial,
    new_room: Any,
    join: Any,
    guarded: bool,
    attack: str,
) -> None:
    session, call = dial()
    room = new_room()
    join(session, room)
    channel = node.channel(caller_of(room_service, session))
    log = room_service.folder / "log"
    told = log.read_text().count("intruder hung up")
    sessions = room_service.get("/api/v1/sessions?limit=1000").body["sessions"]
    started = len([hook for hook in hooks.received if hook["type"] == "session.started"])

    node.call(NOBODYS, EVE, **ATTACKS[attack](channel, call.call_id)).wait_ended()

    # All that she did is told by now, as her own end is.
    with gevent.Timeout(30):
        while log.read_text().count("intruder hung up") == told:
            gevent.sleep(0.05)
    assert log.read_text().count("intruder hung up") == told + 1
    assert len([hook for hook in hooks.received if hook["type"] == "session.started"]) == started
    there = room_service.get("/api/v1/sessions?limit=1000").body["sessions"]
    assert {one["uuid"] for one in there} <= {one["uuid"] for one in sessions}
    if attack == "takes the place, insisting" or (attack.startswith("takes") and not guarded):
        # FreeSWITCH ends the call that is replaced before anybody is asked.
        hooks.wait("session.ended", uuid=session, cause="ATTENDED_TRANSFER")
        assert members(room_service, room) == []
    elif attack != "intercepts" or guarded:
        assert members(room_service, room) == [session]
        assert "conference.member.left" not in hooks.types(uuid=session)


@pytest.mark.parametrize("attack", ["listens in", "intercepts", "takes the place"])
def test_a_caller_who_asks_for_a_parked_call_is_hung_up(
    room_service: Switchroom, node: Node, hooks: Receiver, dial: Dial, guarded: bool, attack: str
) -> None:
    session, call = dial()
    channel = node.channel(caller_of(room_service, session))
    started = len([hook for hook in hooks.received if hook["type"] == "session.started"])
    node.call(NOBODYS, EVE, **ATTACKS[attack](channel, call.call_id)).wait_ended()
    if attack == "takes the place" and not guarded:
        hooks.wait("session.ended", uuid=session, cause="ATTENDED_TRANSFER")
    # A call that comes after is told after whatever became of hers.
    dial()
    assert len([hook for hook in hooks.received if hook["type"] == "session.started"]) == started + 1


def test_a_caller_who_asks_to_join_another_call_is_a_caller(
    room_service: Switchroom, node: Node, hooks: Receiver, dial: Dial, new_room: Any, join: Any
) -> None:
    """FreeSWITCH knows no Join (RFC 3911)."""
    session, _ = dial()
    room = new_room()
    join(session, room)
    channel = node.channel(caller_of(room_service, session))
    call = node.call(DIDS["alpha"], EVE, Join=channel + TAGS)
    own = hooks.wait("session.started", caller_id=EVE)["uuid"]
    assert room_service.get(f"/api/v1/sessions/{own}").body["state"] == "parked"
    assert members(room_service, room) == [session]
    call.hang_up()
    hooks.wait("session.ended", uuid=own)


def test_an_ordinary_call_fires_no_event_for_this(
    node: Node, hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: Any, join: Any
) -> None:
    """What a link gets of a call that is answered, joins a room and hangs up."""
    events: list[Event] = []
    host, _, port = node.esl.partition(":")
    connection = Connection(host, int(port), node.password, on_event=events.append)
    connection.connect()
    try:
        for command in SUBSCRIPTION.commands():
            connection.send(command)
        session, call = dial()
        channel = node.channel(caller_of(room_service, session))
        join(session, new_room())
        call.hang_up()
        hooks.wait("session.ended", uuid=session)
        connection.ping(30)
    finally:
        connection.close()
    fired = [event.get("Action") or event.name for event in events if event.get("Unique-ID") == channel]
    assert fired == ["CHANNEL_PARK", "add-member", "del-member", "CHANNEL_HANGUP_COMPLETE"]


def test_nothing_that_leaves_tells_a_channel(
    room_service: Switchroom, node: Node, hooks: Receiver, dial: Dial, new_room: Any, join: Any
) -> None:
    """Whoever knows a channel's uuid can ask for it. Answers, webhooks, the event log and the log are looked at."""
    session, call = dial()
    room = new_room()
    join(session, room)
    channel = node.channel(caller_of(room_service, session))
    answers = [
        room_service.get(path).body
        for path in (
            "/api/v1/sessions?limit=1000",
            f"/api/v1/sessions/{session}",
            f"/api/v1/conferences/{room}",
            f"/api/v1/conferences/{room}/members",
            "/api/v1/webhooks/deliveries",
        )
    ]
    node.call(NOBODYS, EVE).wait_ended()
    node.call(NOBODYS, EVE, Replaces=channel + TAGS, Call_Info=INFO).wait_ended()
    call.hang_up()
    hooks.wait("session.ended", uuid=session)
    command = [sys.executable, "-m", "switchroom", "tail", "--config", str(room_service.config), "--since", "1h"]
    tail = subprocess.run([*command, "--no-follow", "--json"], capture_output=True, text=True, timeout=60, check=True)
    log = (room_service.folder / "log").read_text()
    for told in (str(answers), str(hooks.received), tail.stdout, log):
        assert channel not in told
        assert told is log or session in told
