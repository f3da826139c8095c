"""Stored commands as FreeSWITCH's commands: a row for each that a Lua file sends. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.registry import Node
from controller.sessions.flags import CHANGES
from controller.sessions.levels import LEVELS
from esl import commands as esl


def _play_to(command: dict[str, Any]) -> esl.Command:
    """To a call as a member of its room, or parked."""
    urls, params = command["url"].split(), {"operation_id": command["operation"], "url_index": command["index"]}
    if "member_id" in command:
        return esl.PlayToMember(command["room"], command["member_id"], urls, params)
    return esl.PlayToChannel(command["channel"], urls, params)


STEREO = 2  # channels

# By the command's `op`, from the command and the node. Fields: see the `send` calls in the Lua files;
# take.lua adds `channel` to what is about a call, the worker the `target` of a leg that is dialled, its address, and of
# a call that is dialled or transferred, its way, and the `user` that is called there; and to what is about a
# recording the `path` of its file, `max_seconds`, and where it is to be put, `upload`.
COMMANDS: dict[str, Callable[[dict[str, Any], Node], esl.Command]] = {
    "join": lambda command, node: esl.Join(
        command["channel"], command["room"], node.profile, tuple(command.get("flags", "mute").split())
    ),
    "dial": lambda command, _: esl.Dial(
        command["channel"],
        command["user"],
        command["caller_id"],
        command["timeout"],
        command["max_seconds"],
        **command["target"],
    ),
    "transfer": lambda command, _: esl.Transfer(
        command["channel"],
        command["leg"],
        command["user"],
        command["caller_id"],
        command["timeout"],
        command["max_seconds"],
        **command["target"],
    ),
    "end_transfer": lambda command, _: esl.Hangup(command["leg"], "NO_ANSWER"),
    "hang_up": lambda command, _: esl.Hangup(command["channel"], command["cause"]),
    "dtmf": lambda command, _: esl.SendDtmf(command["channel"], command["digits"], command["duration"]),
    "kick": lambda command, _: esl.Kick(command["room"], command["member_id"]),
    "kick_all": lambda command, _: esl.Kick(command["room"], "all"),
    "pause": lambda command, _: esl.PausePlay(command["room"]),
    "stop": lambda command, _: esl.StopPlay(command["room"]),
    "volume": lambda command, _: esl.FileVolume(command["room"], command["volume"]),
    "beep": lambda command, _: esl.Beep(command["room"], command["which"], command.get("url", "").split()),
    "announce_leg": lambda command, node: esl.AnnounceLeg(command["leg"], command["room"], node.profile),
    "dial_leg": lambda command, node: esl.DialLeg(
        command["leg"], command["room"], node.profile, command["target"], command["node"]
    ),
    "withdraw_leg": lambda command, _: esl.WithdrawLeg(command["leg"]),
    "hang_up_leg": lambda command, _: esl.Hangup(command["leg"]),
    "record": lambda command, _: _record(command),
    **{f"{verb}_recording": lambda command, _: _control_recording(command) for verb in sorted(esl.RECORDING_VERBS)},
    "store": lambda command, _: esl.PutFile(command["upload"], command["path"]),
    "find_file": lambda command, _: esl.FileExists(command["path"]),
    "remove_file": lambda command, _: esl.EmptyFile(command["path"]),
    "play": lambda command, _: esl.Play(
        command["room"],
        command["url"],
        {"operation_id": command["operation"], "url_index": command["index"], "vol": command["volume"]},
        command.get("rest_url", ""),
    ),
    "session_play": lambda command, _: _play_to(command),
    "session_stop": lambda command, _: (
        esl.StopMember(command["room"], command["member_id"])
        if "member_id" in command
        else esl.StopChannel(command["channel"])
    ),
    **{
        flag.change(on).command: lambda command, _: esl.MemberCommand(
            command["room"], command["member_id"], command["op"]
        )
        for flag, on in CHANGES
    },
    "relate": lambda command, _: esl.Relate(command["room"], command["member_id"], command["others"], command["how"]),
    "hold": lambda command, node: esl.Hold(
        command["room"], command["member_id"], command.get("url", "").split(), node.hold_music
    ),
    **{
        level.name: lambda command, _: esl.MemberLevel(
            command["room"], command["member_id"], command["op"], command["value"]
        )
        for level in LEVELS
    },
}


def _record(command: dict[str, Any]) -> esl.Command:
    if "session" in command:
        return esl.RecordCall(
            command["channel"], command["path"], command["max_seconds"], command["channels"] == STEREO
        )
    return esl.RecordRoom(command["room"], command["path"])


def _control_recording(command: dict[str, Any]) -> esl.Command:
    verb = command["op"].removesuffix("_recording")
    if "session" in command:
        return esl.ControlCallRecording(command["channel"], command["path"], verb)
    return esl.ControlRoomRecording(command["room"], command["path"], verb)


def render(command: dict[str, Any], node: Node) -> esl.Command:
    """Raises ValueError for a command that is not known, or lacks a field."""
    try:
        return COMMANDS[command["op"]](command, node)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the command cannot be sent: {error} is unknown, missing or no text") from error
