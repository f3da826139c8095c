"""Commands about rooms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NotRequired, TypedDict, cast

from controller.commands.base import Args, Command, Listing, Parts, Playing, RoomCommand, playing
from controller.commands.sessions import Member, RunningRecording, as_text
from controller.ids import new_operation_id, new_room_id
from controller.room_options import BEEPS, OPTIONS, Kind
from controller.sessions.flags import Flag
from controller.store.store import Store

# The options that are URLs of sounds, or may be.
_SOUNDS = tuple(option.name for option in OPTIONS if option.kind in (Kind.URL, Kind.BEEP))

Options = Mapping[str, int | bool | str | list[str] | None]


def _as_sent(options: Options) -> Args:
    """For the script, to which a list is text."""
    return {name: as_text(value) if isinstance(value, list) else value for name, value in options.items()}


def _check_sounds(parts: Parts, app_id: str, options: Options, may_play: Callable[[], object]) -> None:
    """Raises Refused: `url_refused`."""
    for name in _SOUNDS:
        if (url := options.get(name)) and url not in BEEPS:
            parts.playback.check(app_id, [cast(str, url)], may_play, name)


class RoomId(TypedDict):
    room_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRoom(Command[RoomId]):
    """With options (`controller.room_options`) by their names. Refused: `name_taken` (detail `room_id`), `no_node`,
    `quota_exceeded`, `url_refused`.
    """

    name: str
    options: Options = field(default_factory=dict)

    script: ClassVar[str] = "create_room"
    logged_as: ClassVar[str] = "create"

    def arguments(self) -> Args:
        # Not super(): the class is made anew for its slots.
        return {**Command.arguments(self), "options": _as_sent(self.options)}

    def looks_up(self, parts: Parts) -> bool:
        return any(map(self.options.get, _SOUNDS)) or parts.placement.asks_store

    def prepare(self, parts: Parts) -> Args:
        _check_sounds(parts, self.app_id, self.options, lambda: None)
        node = parts.placement.choose(self.app_id)
        return {"node": node, "room_id": new_room_id(node) if node else None}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRoom(RoomCommand[RoomId]):
    """Emits `conference.destroyed` at once, and kicks the members, each with a `conference.member.left`."""

    script: ClassVar[str] = "delete_room"
    logged_as: ClassVar[str] = "delete"


class RoomOptions(RoomId):
    """All options of a room, by their names."""

    max_members: int | None
    locked: bool
    end_when_empty: int | None
    max_duration: int | None
    tags: list[str]
    end_on_exit: str | None
    wait_for_moderator: bool
    hold_music: str | None
    beep_enter: str | None
    beep_exit: str | None
    record: bool
    speaker_events: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRoom(RoomCommand[RoomOptions]):
    """Changes the `options` that are given. Nobody who is in the room is taken out. Refused also: `quota_exceeded`,
    `url_refused`.
    """

    options: Options

    script: ClassVar[str] = "change_room"
    logged_as: ClassVar[str] = "update"

    def arguments(self) -> Args:
        return {**Command.arguments(self), "options": _as_sent(self.options)}

    def prepare(self, parts: Parts) -> Args:
        show = GetRoom(app_id=self.app_id, room_id=self.room_id)
        _check_sounds(parts, self.app_id, self.options, lambda: parts.execute(show))
        return {}


class AllChanging(TypedDict):
    operation_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandToAll(RoomCommand[AllChanging]):
    """A command to all members but those in `exclude` (session ids), and moderators if `exclude_moderators`. Answers
    `in_progress`. Refused: `members_pending`.
    """

    exclude: tuple[str, ...] = ()
    exclude_moderators: bool = False

    cooldown: ClassVar[str] = "conference_all"
    needs_node: ClassVar[bool] = True

    def prepare(self, parts: Parts) -> Args:
        return {"operation_id": new_operation_id()}


@dataclass(frozen=True, slots=True, kw_only=True)
class KickAll(CommandToAll):
    """As `Kick` of each."""

    reason: str | None = None

    script: ClassVar[str] = "kick_all"
    logged_as: ClassVar[str] = "kick-all"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFlagOfAll(CommandToAll):
    """Sets a flag on or off."""

    flag: Flag
    on: bool

    script: ClassVar[str] = "set_flag_of_all"

    @property
    def verb(self) -> str:
        return f"{self.flag.change(self.on).command}-all"

    def arguments(self) -> Args:
        # Not super(): the class is made anew for its slots.
        return {**Command.arguments(self), "flag": self.flag.name}


class WaitingPlayback(TypedDict):
    operation_id: str
    urls: list[str]


class RoomNode(TypedDict):
    """A node on which a room is. `bridge`: `source` for the one that mixes the room, else the state of the leg to it
    (`states.LEG_STATES`).
    """

    prefix: str
    members: int
    bridge: str


class Room(RoomOptions):
    """`created_at`, `started_at`: epoch seconds; the second is when the first member joined, None before that.
    `duration`: seconds since then. `peak_members`: the most that there were at once. `begun`: whether those who join
    need not wait for a moderator. `playback_status`: one of
    `states.PLAYBACK`. `playback_queue`: what waits behind the current operation, whose id is empty when nothing plays.
    """

    name: str
    created_at: int
    started_at: int | None
    duration: int
    members: int
    peak_members: int
    begun: bool
    recording: RunningRecording | None
    nodes: list[RoomNode]
    playback_status: str
    playback_volume: int
    playback_urls: list[str]
    playback_operation_id: str
    playback_queue: list[WaitingPlayback]
    playing: Playing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRoom(RoomCommand[Room]):
    script: ClassVar[str] = "get_room"

    def answer(self, parts: Parts, args: Args, reply: Args) -> Room:
        return with_playback(parts.store, self.app_id, reply)


def with_playback(store: Store, app_id: str, reply: Args) -> Room:
    """The reply of get_room.lua with the URLs of the operations that it names. The first is the current one."""
    ids = reply.pop("operations")
    found = zip(ids, store.urls_of(app_id, ids), strict=True)
    # An operation that has ended since is left out.
    operations = [WaitingPlayback(operation_id=operation, urls=urls) for operation, urls in found if urls]
    left = reply.pop("playing_left")
    current = operations[0] if operations else WaitingPlayback(operation_id="", urls=[])
    playback = {
        "playback_urls": current["urls"],
        "playback_operation_id": current["operation_id"],
        "playback_queue": operations[1:],
        # Behind one that has ended since, the next begins.
        "playing": playing(**current, left=left if ids[:1] == [current["operation_id"]] else None),
    }
    return cast(Room, {**reply, **playback})


class RoomEntry(TypedDict):
    """`created_at`: epoch seconds. `tags`: absent if there are none."""

    room_id: str
    name: str
    members: int
    created_at: int
    tags: NotRequired[list[str]]
    recording: RunningRecording | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRooms(Listing[RoomEntry]):
    """All rooms, or only those with that tag, or the one with that name."""

    name: str | None = None
    tag: str | None = None

    script: ClassVar[str] = "list_rooms"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMembers(Listing[Member]):
    """Sessions that are still joining are left out. Refused: `room_not_found`, `room_forbidden`."""

    room_id: str

    script: ClassVar[str] = "list_members"
