"""Commands about sessions, and their membership of rooms."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NotRequired, TypedDict, cast

import orjson

from controller.commands.base import Args, Command, Listing, Nothing, Parts, Playing, SessionCommand, playing, url_texts
from controller.ids import new_operation_id
from controller.sessions.flags import HOLD, JOINING, Flag
from controller.sessions.levels import COOLDOWN, Level
from controller.store.states import ROLES
from controller.store.store import Store


def as_text(value: Any) -> str:
    """As the store keeps it. In Lua an empty list would become an object."""
    return orjson.dumps(value).decode()


class Membership(TypedDict):
    room_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(SessionCommand[Membership]):
    """Joins with these flags on, by their names, this role (`states.ROLES`) and these tags. `levels`: by their names,
    set as soon as it is in. `end_on_exit`: the room ends once the last one that joined so has left. Answers `joining`
    or `already_joined`, and changes nothing of one that is. Refused: `room_not_found`, `room_forbidden`,
    `in_other_room`, `leaving`, `other_node`.
    """

    room_id: str
    flags: tuple[str, ...] = tuple(flag.name for flag in JOINING if flag.joins)
    levels: tuple[tuple[str, int], ...] = ()
    role: str = ROLES[0]
    tags: tuple[str, ...] = ()
    end_on_exit: bool = False

    script: ClassVar[str] = "join"
    logged_as: ClassVar[str] = "join"
    cooldown: ClassVar[str] = "conference"

    def arguments(self) -> Args:
        """With `body`: what a `command_uid` stands for besides the room; None if nothing else was asked."""
        args = Command.arguments(self)
        options = (item for item in fields(self) if item.name in ("flags", "levels", "role", "tags", "end_on_exit"))
        asked = {item.name: args[item.name] for item in options if args[item.name] != item.default}
        texts = {"tags": as_text(self.tags), "levels": as_text(self.levels) if self.levels else None}
        return {**args, **texts, "body": as_text(asked) if asked else None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave(SessionCommand[Membership]):
    """Answers `leaving`. Refused: `not_in_room`, `still_joining`, `leaving`."""

    script: ClassVar[str] = "leave"
    logged_as: ClassVar[str] = "leave"
    cooldown: ClassVar[str] = "conference"


class HangingUp(TypedDict):
    status: str


# Why the app ends a call -> how FreeSWITCH names the cause, which is that of the webhook.
HANGUP_CAUSES = {"normal": "NORMAL_CLEARING", "busy": "USER_BUSY", "rejected": "CALL_REJECTED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp(SessionCommand[HangingUp]):
    """Ends the call. Answers `hanging_up`. `cause`: one of HANGUP_CAUSES."""

    cause: str = "normal"

    script: ClassVar[str] = "hang_up"
    logged_as: ClassVar[str] = "hang_up"
    cooldown: ClassVar[str] = "hang_up"

    def arguments(self) -> Args:
        # Not super(): the class is made anew for its slots.
        return {**Command.arguments(self), "cause": HANGUP_CAUSES[self.cause], "body": self.cause}


class SendingDtmf(TypedDict):
    status: str


# How long a pause among digits is, and what the node leaves between digits (ms).
PAUSES = {"w": 500, "W": 1000}
_BETWEEN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDtmf(SessionCommand[SendingDtmf]):
    """Sends digits to the far end of the call, each for `duration` ms. Answers `sending`. Refused: `dtmf_pending`.

    Digits may be a PIN: they are in no log, and what their `command_uid` stands for is a hash of them.
    """

    digits: str = field(repr=False)
    duration: int

    script: ClassVar[str] = "send_dtmf"
    logged_as: ClassVar[str] = "dtmf"
    cooldown: ClassVar[str] = "dtmf"

    def arguments(self) -> Args:
        named = f"{self.session_id} {self.digits} {self.duration}"
        return {
            **Command.arguments(self),
            "body": hashlib.sha256(named.encode()).hexdigest(),
            "sending_ms": sum(PAUSES.get(digit, self.duration + _BETWEEN) for digit in self.digits),
        }


class Collecting(TypedDict):
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectDigits(SessionCommand[Collecting]):
    """Collects up to `max_digits` digits that the caller presses, up to one of `terminators`. Answers `collecting`, and
    ends what is being collected. `timeout`: seconds for the first digit, `digit_timeout`: for each other.
    """

    max_digits: int
    terminators: str
    timeout: int
    digit_timeout: int

    script: ClassVar[str] = "collect_digits"
    logged_as: ClassVar[str] = "collect_digits"
    cooldown: ClassVar[str] = "collect_digits"

    def arguments(self) -> Args:
        args = Command.arguments(self)
        timeout, digit_timeout = args.pop("timeout"), args.pop("digit_timeout")
        return {
            **args,
            "timeout_ms": timeout * 1000,
            "digit_timeout_ms": digit_timeout * 1000,
            "body": f"{self.max_digits} {self.terminators} {timeout} {digit_timeout}",
        }


class SessionPlayback(TypedDict):
    """`operation_id`: empty if nothing was played that could be stopped."""

    operation_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayToSession(SessionCommand[SessionPlayback]):
    """Plays to a call alone, parked or a member. Answers `in_progress`. `urls` pass `esl.commands.clean_url`. Refused:
    `already_playing`, `on_hold`, `still_joining`, `leaving`, `url_refused`.
    """

    urls: tuple[str, ...]

    script: ClassVar[str] = "play_to_session"
    logged_as: ClassVar[str] = "session_play"
    cooldown: ClassVar[str] = "session_play"

    def arguments(self) -> Args:
        body = hashlib.sha256("\n".join(self.urls).encode()).hexdigest()
        return {**Command.arguments(self), "body": body}

    def prepare(self, parts: Parts) -> Args:
        urls = url_texts(self.urls)
        may_play = MayPlayToSession(
            app_id=self.app_id,
            actor=self.actor,
            trace=self.trace,
            session_id=self.session_id,
            url_bytes=len(",".join(urls).encode()),
        )
        parts.playback.check(self.app_id, self.urls, lambda: parts.execute(may_play))
        return {"operation_id": new_operation_id(), "urls": urls}


@dataclass(frozen=True, slots=True, kw_only=True)
class MayPlayToSession(Command[Nothing]):
    """Whether a `PlayToSession` would be refused, asked before the names in its URLs are resolved. Changes nothing.

    `url_bytes`: of the URLs as JSON.
    """

    session_id: str
    url_bytes: int

    script: ClassVar[str] = "may_play_to_session"
    logged_as: ClassVar[str] = PlayToSession.logged_as
    cooldown: ClassVar[str] = PlayToSession.cooldown
    needs_node: ClassVar[bool] = PlayToSession.needs_node

    @property
    def target(self) -> str:
        return self.session_id


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSessionPlay(SessionCommand[SessionPlayback]):
    """Answers `stopped`. Ends what is played to a call."""

    script: ClassVar[str] = "stop_session_play"
    logged_as: ClassVar[str] = "session_stop"
    cooldown: ClassVar[str] = "session_stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kick(Leave):
    """As `Leave`, but the app takes the member out, and may say why in its own words: `reason`."""

    reason: str | None = None

    logged_as: ClassVar[str] = "kick"

    def arguments(self) -> Args:
        return {**Command.arguments(self), "kicked": True, "body": self.reason}


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

    @property
    def plays(self) -> bool:
        return False

    def arguments(self) -> Args:
        # Not super(): the class is made anew for its slots.
        return {**Command.arguments(self), "flag": self.flag.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(SetFlag):
    """Puts a member on hold. `url`: of its music, which passes `esl.commands.clean_url`. Refused: `url_refused`."""

    flag: Flag = HOLD
    on: bool = True
    url: str | None = None

    @property
    def plays(self) -> bool:
        return self.url is not None

    def arguments(self) -> Args:
        return {**Command.arguments(self), "flag": self.flag.name, "body": self.url}

    def prepare(self, parts: Parts) -> Args:
        if self.url is not None:
            show = GetSession(app_id=self.app_id, session_id=self.session_id)
            parts.playback.check(self.app_id, [self.url], lambda: parts.execute(show), "url")
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Coach(SessionCommand[Membership]):
    """Has a member heard by `coached` alone, another member of its room, whoever comes and goes. Answers `coaching`.
    Refused as `Leave`, and `coached_not_member`, `coached_on_other_node`, `coach_pending`, `already_coaching`,
    `too_many_coaches`.
    """

    coached: str

    script: ClassVar[str] = "coach"
    logged_as: ClassVar[str] = "coach"
    cooldown: ClassVar[str] = "conference_coach"

    def arguments(self) -> Args:
        # Not super(): the class is made anew for its slots.
        return {**Command.arguments(self), "body": self.coached}


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncoach(SessionCommand[Membership]):
    """Has it heard by all again. Answers `uncoached`. Refused as `Leave`, and `coach_pending`, `not_coaching`."""

    script: ClassVar[str] = "uncoach"
    logged_as: ClassVar[str] = "uncoach"
    cooldown: ClassVar[str] = Coach.cooldown


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLevel(SessionCommand[Membership]):
    """Sets a level of a member to `value`, MIN_LEVEL to MAX_LEVEL. Answers `volume_changed`. Refused as `Leave`, and
    `volume_pending`.
    """

    level: Level
    value: int

    script: ClassVar[str] = "set_level"
    cooldown: ClassVar[str] = COOLDOWN

    @property
    def verb(self) -> str:
        return self.level.name

    def arguments(self) -> Args:
        # Not super(): the class is made anew for its slots.
        return {**Command.arguments(self), "level": self.level.name, "body": str(self.value)}


class MemberChanging(Membership):
    """`changing`: the names of what the node has yet to confirm."""

    changing: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMember(SessionCommand[MemberChanging]):
    """Changes all of it or nothing: `flags` and `levels` by their names, `role` and `tags` unless they are None.

    Answers `changing`. Refused: as `Leave`, `room_not_found`, `room_forbidden`, and what is pending of a flag or level.
    """

    room_id: str
    flags: tuple[tuple[str, bool], ...] = ()
    levels: tuple[tuple[str, int], ...] = ()
    role: str | None = None
    tags: tuple[str, ...] | None = None

    script: ClassVar[str] = "change_member"
    logged_as: ClassVar[str] = "change_member"
    cooldown: ClassVar[str] = "conference_member"

    def arguments(self) -> Args:
        asked = (self.flags, self.levels, self.role, self.tags)
        tags = None if self.tags is None else as_text(self.tags)
        return {**Command.arguments(self), "tags": tags, "body": as_text(asked)}


class RunningRecording(TypedDict):
    """The recording of a room or session that has not ended yet. `state`: one of `states.RECORDING_STATES`."""

    recording_id: str
    state: str


class Member(TypedDict):
    """A member of a room, with its flags and levels (`controller.sessions`) by their names. `node`: its prefix.

    `role`: one of `states.ROLES`. `tags`: absent if there are none. `joined_at`: epoch seconds; None for one that
    joined before this was stored. `recording`: of its call, None while there is none. `waiting`: whether it waits for a
    moderator. `coaching`: the session by which alone it is heard, if it coaches one. `speaking`: whether it speaks now,
    False unless its room asks for that.
    """

    session_id: str
    node: str
    did: str
    caller_id: str
    muted: bool
    deaf: bool
    hold: bool
    volume_in: int
    volume_out: int
    role: str
    tags: NotRequired[list[str]]
    end_on_exit: bool
    recording: RunningRecording | None
    waiting: bool
    coaching: str | None
    speaking: bool
    joined_at: int | None


class Session(Member):
    """A call leg, and what it is as a member.

    `state`: one of `states.SESSION_STATES`. `direction`: `inbound` or `outbound`. `room_id`: empty outside rooms, and
    `member_id` None; of one that is dialled, what it will be in the room that it is dialled for. `transferred_to`:
    None unless it is being or was transferred. `started_at`: epoch seconds.
    """

    state: str
    direction: str
    room_id: str
    member_id: int | None
    transferred_to: str | None
    started_at: int


class SessionDetails(Session):
    """`playing`: what it alone hears."""

    playing: Playing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSession(Command[SessionDetails]):
    """Refused: `session_not_found`, `session_forbidden`."""

    session_id: str

    script: ClassVar[str] = "get_session"

    def answer(self, parts: Parts, args: Args, reply: Args) -> SessionDetails:
        return with_playing(parts.store, self.app_id, reply)


def with_playing(store: Store, app_id: str, reply: Args) -> SessionDetails:
    """The reply of get_session.lua with the URLs of the operation that it names."""
    operation, left = reply.pop("playing_id"), reply.pop("playing_left")
    urls = store.urls_of(app_id, [operation])[0] if operation else []
    return cast(SessionDetails, {**reply, "playing": playing(operation, urls, left)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSessions(Listing[Session]):
    """All sessions, or only those in that `state`, of that `room` (joining, in it or leaving), or called at `did`."""

    state: str | None = None
    room: str | None = None
    did: str | None = None

    script: ClassVar[str] = "list_sessions"
