"""What a command is, and what it may reach besides the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Generic, Protocol, TypedDict, TypeVar, cast

import orjson

from controller.idempotency import Once
from controller.rooms.dialer import Dialer
from controller.rooms.placement import Placement
from controller.rooms.playback_guard import PlaybackGuard
from controller.store.store import Store
from controller.webhooks.api import WebhookApi

Answer = TypeVar("Answer")
Row = TypeVar("Row")

Args = dict[str, Any]

# The fields of a command that say where it comes from. Queries do not need them.
ORIGIN = ("actor", "trace")
# The fields of a command that are not what it asks for.
_ABOUT = (*ORIGIN, "once")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[Answer]):
    """A command of app `app_id`, which is authenticated already. Queries are commands that change nothing.

    A subclass names the type of its answer, and says by its class variables how it is carried out. The caller (the REST
    API) has checked the forms and ranges of its values.

    `actor`: who sent it, if not the app itself. `trace`: the W3C traceparent of its request. The event log has both
    with the command and with what follows from it, and its webhooks carry the trace. Either may be empty. `once`: its
    idempotency key, if it has one.
    """

    app_id: str
    actor: str = ""
    trace: str = ""
    once: Once | None = None

    # The Lua file that carries it out, in one atomic step.
    script: ClassVar[str]
    # What the event log calls it; empty for what is not logged: queries.
    logged_as: ClassVar[str] = ""
    # The group of its rate limit (`controller.limits.COOLDOWNS`). The script says whose: a room's, a session's or the
    # app's.
    cooldown: ClassVar[str] = ""
    # Whether its answer is the script's reply in other words, and nothing else is done for it.
    has_one_step: ClassVar[bool] = True
    # Whether it is refused while the media node of its room or session is down.
    needs_node: ClassVar[bool] = False

    @property
    def plays(self) -> bool:
        """Whether it plays a file, if its script asks for the relay that files come from."""
        return True

    @property
    def target(self) -> str:
        """The id of the room or session that it is about, which begins with the prefix of a node; "" for none."""
        return ""

    @property
    def verb(self) -> str:
        """As `logged_as`, where that depends on the command's fields."""
        return self.logged_as

    @property
    def group(self) -> str:
        """As `cooldown`, where that depends on the command's fields."""
        return self.cooldown

    def is_counted_in_step(self, parts: Parts) -> bool:
        """Whether the request for it is counted in its own step: nothing is looked up for it before."""
        return self.has_one_step and not self.once and not self.looks_up(parts)

    def looks_up(self, parts: Parts) -> bool:
        """Whether `prepare` asks the store, or anybody else."""
        return type(self).prepare is not Command.prepare

    def arguments(self) -> Args:
        """Its own fields, as the script gets them."""
        return {name: getattr(self, name) for name in _asked_for(type(self))}  # type: ignore[arg-type]

    def prepare(self, parts: Parts) -> Args:
        """The script's other arguments. Raises Refused."""
        return {}

    def answer(self, parts: Parts, args: Args, reply: Args) -> Answer:
        """The answer for the caller, from the script's reply to `args`. Raises Refused."""
        return cast(Answer, reply)


@cache
def _asked_for(command: type[Command[Any]]) -> tuple[str, ...]:
    """The names of a command's own fields."""
    return tuple(item.name for item in fields(command) if item.name not in _ABOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCommand(Command[Answer]):
    """A command to a session.

    `command_uid`: the caller's own id of it; a repeat within 60 s gets the first answer and does nothing. Refused:
    `session_not_found`, `session_forbidden`, `command_uid_taken` when it named another command.
    """

    session_id: str
    command_uid: str | None = None

    needs_node: ClassVar[bool] = True

    @property
    def target(self) -> str:
        return self.session_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomCommand(Command[Answer]):
    """A command to a room. Refused: `room_not_found`, `room_forbidden`."""

    room_id: str

    @property
    def target(self) -> str:
        return self.room_id


class Nothing(TypedDict):
    pass


def url_texts(urls: Sequence[str]) -> list[str]:
    """URLs to play, as the store keeps them: each as JSON."""
    return [orjson.dumps(url).decode() for url in urls]


class Playing(TypedDict):
    """`index`: of the URL that plays, or comes next: it may be on its way still."""

    operation_id: str
    urls: list[str]
    index: int


def playing(operation_id: str, urls: list[str], left: int | None) -> Playing | None:
    """An operation that plays, of which so many URLs are left; None if it is over, and so has none any more."""
    index = max(0, len(urls) - (len(urls) if left is None else left))
    return Playing(operation_id=operation_id, urls=urls, index=index) if urls else None


class Page(TypedDict, Generic[Row]):
    """A part of a listing. `cursor`: the position to go on from, 0 at the end."""

    rows: list[Row]
    cursor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Command[Page[Row]]):
    """A page of at most `limit` rows, behind position `after` (0: from the beginning).

    It is read in several steps, so that none holds the store for long. A page may be short, and even empty, with more
    to come: `cursor` says so.
    """

    limit: int
    after: int = 0

    def looks_up(self, parts: Parts) -> bool:
        return True


class Execute(Protocol):
    def __call__(self, command: Command[Answer], /) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What commands use besides their own script. `execute` carries out another command. `allow_private_uploads`:
    whether recordings may be put into private networks.
    """

    store: Store
    placement: Placement
    playback: PlaybackGuard
    webhooks: WebhookApi
    dialer: Dialer
    allow_private_uploads: bool
    execute: Execute
