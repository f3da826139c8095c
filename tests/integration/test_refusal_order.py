"""What is refused first where a command has several faults: in the order that docs/api.md promises."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from controller import commands
from controller.commands.base import Command
from controller.sessions.flags import FLAGS, HOLD
from tests.integration.world import AN_HOUR_MS, PERMISSION, World

MUTED, *_ = FLAGS
Ask = Callable[..., dict[str, Any]]
MISSING_ROOM = "acW68-room-00000000-0000-4000-8000-00000000ffff"
MISSING_SESSION = "acW68-00000000-0000-4000-8000-00000000ffff"

# By the class: how it is asked, of a session or a room. Of a flag, those that are refused in other words besides.
OF_CALLS: dict[type[Command[Any]], Callable[[World], Ask]] = {
    commands.SendDtmf: lambda world: (
        lambda **more: world.ask("send_dtmf", command="dtmf", digits="1", duration=250, sending_ms=0, **more)
    ),
    commands.CollectDigits: lambda world: (
        lambda **more: world.ask(
            "collect_digits", max_digits=4, terminators="#", timeout_ms=1, digit_timeout_ms=1, **more
        )
    ),
    commands.PlayToSession: lambda world: (
        lambda **more: world.ask("play_to_session", urls=['"http://cdn.example/a.wav"'], operation_id="op", **more)
    ),
    commands.StopSessionPlay: lambda world: lambda **more: world.ask("stop_session_play", **more),
    commands.RecordSession: lambda world: partial(world.ask, "record_session", command="record", channels=1),
    commands.HangUp: lambda world: lambda **more: world.ask("hang_up", cause="NORMAL_CLEARING", **more),
    commands.Join: lambda world: partial(world.ask, "join", room_id=world.create()),
}
OF_MEMBERS: dict[type[Command[Any]], Callable[[World, str], Ask]] = {
    commands.Leave: lambda world, _: lambda **more: world.ask("leave", **more),
    commands.Kick: lambda world, _: lambda **more: world.ask("leave", command="kick", kicked=True, **more),
    commands.SetFlag: lambda world, _: lambda session_id, **more: world.set_flag(session_id, MUTED, True, **more),
    commands.Hold: lambda world, _: (
        lambda session_id, **more: world.set_flag(session_id, HOLD, True, url="http://cdn.example/music.wav", **more)
    ),
    commands.SetLevel: lambda world, _: lambda session_id, **more: world.set_level(session_id, "volume_in", 1, **more),
    commands.Coach: lambda world, _: lambda session_id, **more: world.coach(session_id, MISSING_SESSION, **more),
    commands.Uncoach: lambda world, _: lambda **more: world.ask("uncoach", **more),
    commands.ChangeMember: lambda world, room: (
        lambda **more: world.ask("change_member", **{"room_id": room, "flags": [], "levels": [], **more})
    ),
}
OF_ROOMS: dict[type[Command[Any]], Callable[[World], Ask]] = {
    commands.Play: lambda world: (
        lambda room_id, **more: world.ask(
            "play", room_id=room_id, urls=['"http://cdn.example/a.wav"'], operation_id="op", **more
        )
    ),
    commands.RecordRoom: lambda world: partial(world.ask, "record_room", command="record"),
    commands.TogglePause: lambda world: lambda **more: world.ask("pause", **more),
    commands.StopPlayback: lambda world: lambda **more: world.ask("stop", **more),
    commands.SetVolume: lambda world: lambda **more: world.ask("volume", volume=3, **more),
    commands.SetFlagOfAll: lambda world: lambda room_id, **more: world.flag_of_all(room_id, MUTED, True, **more),
    commands.KickAll: lambda world: lambda room_id, **more: world.kick_all(room_id, operation_id="new", **more),
}
# Of which there is no room or session to be refused for, or which has a test of its own.
OTHERS = {commands.SendTest, commands.Dial, commands.Transfer, commands.ControlRecording}


def has_cooldown(kind: Any) -> bool:
    return (
        isinstance(kind, type) and issubclass(kind, Command) and (kind.cooldown or issubclass(kind, commands.SetFlag))
    )


def test_all_commands_are_here() -> None:
    there = {kind for kind in vars(commands).values() if has_cooldown(kind)}
    assert there - OTHERS == {*OF_CALLS, *OF_MEMBERS, *OF_ROOMS}


def code(answer: dict[str, Any]) -> str:
    return str(answer.get("refused", ""))


def warm(world: World, group: str, identifier: str) -> None:
    """The group cools down."""
    world.store.client.set(f"{world.tag}:cooldown:{group}:{identifier}", AN_HOUR_MS, px=AN_HOUR_MS)


def cool(world: World) -> None:
    for key in world.store.client.keys("*}:cooldown:*"):
        world.store.client.delete(key)


def to_call(world: World, ask: Ask, session: str, group: str, paced: str = "") -> list[str]:
    """The refusals of a command to a session, each once what was refused before it is mended. The last one is of what
    is not mended. `paced`: what cools down, if not the session.
    """
    other = world.park(99)
    world.ask("hang_up", session_id=other, cause="NORMAL_CLEARING", command_uid="taken")
    warm(world, group, paced or session)
    world.nodes[session.partition("-")[0]]["up"] = False
    refused = [code(ask(session_id=MISSING_SESSION, command_uid="taken"))]
    refused.append(code(ask(session_id=session, command_uid="taken", app_id="another")))
    refused.append(code(ask(session_id=session, command_uid="taken")))
    refused.append(code(ask(session_id=session, command_uid="new")))
    cool(world)
    refused.append(code(ask(session_id=session, command_uid="new")))
    world.nodes[session.partition("-")[0]]["up"] = True
    return [*refused, code(ask(session_id=session, command_uid="new"))]


FIRST = ["session_not_found", "session_forbidden", "command_uid_taken", "rate_limited", "node_down"]


@pytest.mark.parametrize("kind", OF_CALLS)
def test_of_a_command_to_a_call(world: World, kind: type[Command[Any]]) -> None:
    session = world.dial()
    last = "" if kind is commands.HangUp else "still_dialing"
    assert to_call(world, OF_CALLS[kind](world), session, kind.cooldown) == [*FIRST, last]


def test_of_digits_that_wait_for_others(world: World) -> None:
    session = world.park()
    ask = OF_CALLS[commands.SendDtmf](world)
    ask(session_id=session)
    assert to_call(world, ask, session, "dtmf") == [*FIRST, "dtmf_pending"]


@pytest.mark.parametrize("kind", OF_MEMBERS)
def test_of_a_command_to_a_member(world: World, kind: type[Command[Any]]) -> None:
    room, session = world.create(), world.park()
    ask = OF_MEMBERS[kind](world, room)
    group = kind.cooldown or {commands.SetFlag: MUTED, commands.Hold: HOLD}[kind].cooldown
    first = list(FIRST)
    if kind is commands.ChangeMember:
        assert code(ask(session_id=session, room_id=MISSING_ROOM, app_id="another")) == "room_not_found"
        first[1] = "room_forbidden"
    assert to_call(world, ask, session, group)[:4] == [*first[:3], "not_in_room"]
    world.ask("join", session_id=session, room_id=room)
    assert to_call(world, ask, session, group) == [*first, "still_joining"]


def test_of_hold_music_without_a_relay(world: World) -> None:
    session = world.joined(world.create())
    world.set_flag(session, HOLD, True)
    ask = OF_MEMBERS[commands.Hold](world, "")
    assert code(ask(session_id=session, relay_up=False)) == "no_relay"
    assert code(ask(session_id=session)) == "hold_pending"


@pytest.mark.parametrize("kind", OF_ROOMS)
def test_of_a_command_to_a_room(world: World, kind: type[Command[Any]]) -> None:
    room = world.create()
    ask = OF_ROOMS[kind](world)
    no_relay = {commands.Play: {"relay_up": False}, commands.RecordRoom: {"relay_live": False}}
    more: dict[str, Any] = no_relay.get(kind, {})
    last = "no_relay" if more else "nothing_playing" if kind is commands.TogglePause else ""
    if kind in (commands.SetFlagOfAll, commands.KickAll):
        for number in range(3):
            world.joined(room, number + 1)
        world.flag_of_all(room, MUTED, False, operation_id="before")
        last = "members_pending"
    warm(world, kind.cooldown, room)
    world.nodes["acW68"]["up"] = False
    refused = [code(ask(room_id=MISSING_ROOM, **more)), code(ask(room_id=room, app_id="another", **more))]
    refused.append(code(ask(room_id=room, **more)))
    cool(world)
    refused.append(code(ask(room_id=room, **more)))
    world.nodes["acW68"]["up"] = True
    refused.append(code(ask(room_id=room, **more)))
    assert refused == ["room_not_found", "room_forbidden", "rate_limited", "node_down", last]


def test_of_a_call_that_is_to_be_made(world: World) -> None:
    room = world.create()
    world.ask("change_room", room_id=room, options={"locked": True})
    world.ask_dial(2, command_uid="taken")
    warm(world, "dial", "demo +4930123456")
    world.nodes["acW68"]["up"] = False

    def refused(**more: Any) -> str:
        return code(world.ask_dial(3, **{"room_id": room, "command_uid": "new", **more}))

    assert refused(permission={"gateway": None}, room_id=MISSING_ROOM) == "dialing_forbidden"
    assert refused(permission={"to": False, "caller_id": False}, room_id=MISSING_ROOM) == "destination_forbidden"
    assert refused(permission={"caller_id": False}, room_id=MISSING_ROOM) == "caller_id_forbidden"
    assert refused(room_id=MISSING_ROOM, command_uid="taken") == "room_not_found"
    assert refused(command_uid="taken", permission={"calls_at_once": 0}) == "command_uid_taken"
    assert refused(permission={"calls_at_once": 0}) == "rate_limited"
    cool(world)
    assert refused(permission={"calls_at_once": 0}) == "dial_limit_reached"
    assert refused() == "node_down"
    world.nodes["acW68"]["up"] = True
    assert refused() == "room_locked"


def test_of_a_call_that_is_to_be_transferred(world: World) -> None:
    session = world.dial(2)

    def ask(session_id: str, **more: Any) -> dict[str, Any]:
        return world.ask_transfer(session_id, **more)

    forbidden = {**PERMISSION, "to": False}
    assert code(ask(MISSING_SESSION, permission=forbidden)) == "destination_forbidden"
    assert to_call(world, ask, session, "dial", "demo +4930123456") == [*FIRST, "still_dialing"]
    warm(world, "dial", "demo +4930123456")
    full = {**PERMISSION, "calls_at_once": 0}
    assert code(ask(session, permission=full)) == "rate_limited"
    cool(world)
    world.nodes["acW68"]["up"] = False
    assert code(ask(session, permission=full)) == "dial_limit_reached"


def test_of_a_recording(world: World) -> None:
    room = world.create()
    world.joined(room)
    recording = str(world.record(room)["recording_id"])
    other = world.park(99)
    world.ask("hang_up", session_id=other, cause="NORMAL_CLEARING", command_uid="taken")
    warm(world, "recording_control", recording)
    world.nodes["acW68"]["up"] = False
    assert code(world.control(recording, "pause", app_id="another")) == "recording_not_found"
    assert code(world.control(recording, "pause", command_uid="taken")) == "command_uid_taken"
    assert code(world.control(recording, "pause")) == "rate_limited"
    cool(world)
    assert code(world.control(recording, "pause")) == "node_down"
    world.nodes["acW68"]["up"] = True
    assert code(world.control(recording, "pause")) == "recording_starting"
