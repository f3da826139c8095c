"""Commands about sessions, and their membership of rooms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypedDict

from controller.commands.base import Args, Command, Listing, SessionCommand
from controller.sessions.flags import Flag


class Membership(TypedDict):
    room_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(SessionCommand[Membership]):
    """Answers `joining` or `already_joined`. Refused: `room_not_found`, `room_forbidden`, `in_other_room`,
    `leaving`, `other_node`.
    """

    room_id: str

    script: ClassVar[str] = "join"
    logged_as: ClassVar[str] = "join"
    cooldown: ClassVar[str] = "conference"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave(SessionCommand[Membership]):
    """Answers `leaving`. Refused: `not_in_room`, `still_joining`, `leaving`."""

    script: ClassVar[str] = "leave"
    logged_as: ClassVar[str] = "leave"
    cooldown: ClassVar[str] = "conference"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFlag(SessionCommand[Membership]):
    """Sets a member's flag on or off. Answers the row's `done`. Refused as `Leave`, and with the row's own refusals."""

    flag: Flag
    on: bool

    script: ClassVar[str] = "set_flag"

    @property
    def verb(self) -> str:
        return self.flag.change(self.on).command

    @property
    def group(self) -> str:
        return self.flag.cooldown

    def arguments(self) -> Args:
        # Not super(): the class is made anew for its slots.
        return {**Command.arguments(self), "flag": self.flag.name}


class Member(TypedDict):
    """A member of a room, with its flags (`controller.sessions.flags`) by their names. `node`: its prefix."""

    session_id: str
    node: str
    did: str
    caller_id: str
    muted: bool
    deaf: bool


class Session(Member):
    """A call leg, and what it is as a member.

    `state`: one of `states.SESSION_STATES`. `room_id`: empty outside rooms, and `member_id` None. `started_at`: epoch
    seconds.
    """

    state: str
    room_id: str
    member_id: int | None
    started_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSession(Command[Session]):
    """Refused: `session_not_found`, `session_forbidden`."""

    session_id: str

    script: ClassVar[str] = "get_session"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSessions(Listing[Session]):
    """All sessions, or only those in that `state`, of that `room` (joining, in it or leaving), or called at `did`."""

    state: str | None = None
    room: str | None = None
    did: str | None = None

    script: ClassVar[str] = "list_sessions"
