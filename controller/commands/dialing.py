"""The commands to make a call, and to transfer one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, TypedDict

from controller.commands.base import Args, Command, Parts, SessionCommand
from controller.commands.rooms import GetRoom
from controller.commands.sessions import as_text
from controller.errors import Refused
from controller.ids import node_of
from controller.sessions.dialing import USUAL_TIMEOUT
from controller.sessions.flags import JOINING
from controller.store.states import ROLES


class Dialled(TypedDict):
    session_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial(Command[Dialled]):
    """Calls the number `to`, which sees the number `caller_id`, and gives up when it has rung for `timeout` seconds.

    With a `room_id` it joins that room once it is answered, as `Join` does. Answers `dialing`. Refused:
    `dialing_forbidden`, `destination_forbidden`, `caller_id_forbidden`, `dial_limit_reached`, `no_node`,
    `quota_exceeded`, `room_not_found`, `room_forbidden`, `room_locked`, `room_full`.
    """

    to: str
    caller_id: str
    timeout: int = USUAL_TIMEOUT
    room_id: str | None = None
    flags: tuple[str, ...] = tuple(flag.name for flag in JOINING if flag.joins)
    levels: tuple[tuple[str, int], ...] = ()
    role: str = ROLES[0]
    tags: tuple[str, ...] = ()
    end_on_exit: bool = False
    command_uid: str | None = None

    script: ClassVar[str] = "dial"
    logged_as: ClassVar[str] = "dial"
    cooldown: ClassVar[str] = "dial"
    needs_node: ClassVar[bool] = True

    def arguments(self) -> Args:
        # Not super(): the class is made anew for its slots.
        args = Command.arguments(self)
        asked = {name: value for name, value in args.items() if name not in ("app_id", "room_id", "command_uid")}
        texts = {"tags": as_text(self.tags), "levels": as_text(self.levels) if self.levels else None}
        return {**args, **texts, "body": as_text(asked)}

    def prepare(self, parts: Parts) -> Args:
        permission = parts.dialer.permission(self.app_id, self.to, self.caller_id)
        node = self._node(parts) if permission else None
        return {"permission": permission, "node": node, **(parts.dialer.new_call(node) if node else {})}

    def _node(self, parts: Parts) -> str | None:
        """That of the room, if it is there; else the one that a new room would get."""
        if self.room_id:
            with suppress(Refused):
                room = parts.execute(GetRoom(app_id=self.app_id, room_id=self.room_id))
                return room["nodes"][0]["prefix"]
        return parts.placement.choose(self.app_id)


class Transferring(TypedDict):
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(SessionCommand[Transferring]):
    """Takes the call out of its room, if it is in one, and connects it to the number `to`, which sees the number
    `caller_id`: by default the first that the app may show. It may ring for `timeout` seconds.

    Answers `transferring`. Refused: `still_dialing`, `still_joining`, `leaving`, `transferring`, `transferred`, and as
    `Dial` what the app may not dial.
    """

    to: str
    caller_id: str | None = None
    timeout: int = USUAL_TIMEOUT

    script: ClassVar[str] = "transfer"
    logged_as: ClassVar[str] = "transfer"
    cooldown: ClassVar[str] = "dial"

    def arguments(self) -> Args:
        # Not super(): the class is made anew for its slots.
        return {**Command.arguments(self), "body": f"{self.to} {self.caller_id} {self.timeout}"}

    def prepare(self, parts: Parts) -> Args:
        caller_id = self.caller_id or parts.dialer.usual_caller_id(self.app_id)
        return {
            "caller_id": caller_id or None,
            "permission": parts.dialer.permission(self.app_id, self.to, caller_id),
            **parts.dialer.new_call(node_of(self.session_id)),
        }
