"""The forms of requests and answers. The OpenAPI document is made from these.

Patterns are matched by pydantic's own engine, for which `$` is the very end of the text, as it is for JSON
Schema, and not, as for Python, also ahead of a trailing line break.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from esl.commands import clean_url

_ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
_SESSION = "acW68-7f3d2c1b-0a9e-4d8c-b7f6-5e4d3c2b1a09"
_OPERATION = "a1b2c3d4-e5f6-4890-abcd-ef1234567890"

_UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SESSION_ID = f"^[A-Za-z0-9]{{5}}-{_UUID}$"

MAX_URLS = 128


def _example(value: Any) -> Any:
    return Field(json_schema_extra={"example": value})


def _positive(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]*", text):
        raise ValueError("must be a positive integer")
    # Python refuses to read thousands of digits; the first 18 are far above every maximum as well.
    return int(text[:18])


def _clean(url: str) -> str:
    try:
        return clean_url(url)
    except ValueError as error:
        raise ValueError(f"is not a URL that can be played: {error}") from None


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must have printable characters only")
    return text


RoomId = Annotated[
    str,
    Field(pattern=f"^[A-Za-z0-9]{{5}}-room-{_UUID4}$", description="The room's id."),
    _example(_ROOM),
]
CommandUid = Annotated[
    str,
    Field(min_length=1, max_length=64, description="The caller's own id of the command."),
    AfterValidator(_printable),
    _example("mute-0042"),
]
Url = Annotated[
    str,
    Field(min_length=1, description="HTTP or HTTPS, with a host, without user info; at most 2,048 characters."),
    AfterValidator(_clean),
    _example("https://cdn.example.com/announcement.wav"),
]


# Requests


class RoomPath(BaseModel):
    room_id: RoomId


class SessionPath(BaseModel):
    """An id of another form is no session's: the view answers 404, once the body has been checked."""

    uuid: Annotated[
        str,
        Field(
            description="The session's id.",
            json_schema_extra={"pattern": SESSION_ID, "example": _SESSION},
        ),
    ]


class Page(BaseModel):
    """Where a listing goes on, and how far."""

    limit: Annotated[
        int,
        BeforeValidator(_positive),
        Field(ge=1, description="Most entries to return. A limit above the listing's maximum means the maximum."),
    ] = 50
    cursor: Annotated[str, Field(description="The cursor of the page before; absent or empty for the first page.")] = ""


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Body):
    """No fields: the body may be left out."""


class NewRoom(Body):
    name: Annotated[
        str,
        Field(
            pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
            description="Letters, digits, hyphens and underscores; the first a letter or digit; at most 64.",
        ),
        _example("weekly-standup"),
    ]


class PlayBody(Body):
    urls: Annotated[list[Url], Field(min_length=1, max_length=MAX_URLS, description="What to play, in this order.")]


class VolumeBody(Body):
    volume: Annotated[int, Field(ge=-50, le=7, description="Negative values attenuate, positive amplify."), _example(2)]


class CommandBody(Body):
    """May be left out."""

    command_uid: CommandUid | None = None


class JoinBody(CommandBody):
    """Which room to join."""

    room_id: RoomId


# Answers


class RoomCreated(BaseModel):
    room_id: RoomId


class RoomDeleted(BaseModel):
    room_id: RoomId


class RoomEntry(BaseModel):
    room_id: RoomId
    name: Annotated[str, _example("team-standup")]
    members: Annotated[int, Field(ge=0), _example(3)]
    created_at: Annotated[str, Field(description="ISO 8601, UTC."), _example("2026-05-06T12:34:56Z")]


class RoomList(BaseModel):
    conferences: list[RoomEntry]
    cursor: Annotated[str, Field(description="Empty when this is the last page.")]


class Room(BaseModel):
    room_id: RoomId
    name: Annotated[str, _example("weekly-standup")]
    created_at: Annotated[str, Field(pattern="^[0-9]+$", description="Seconds since 1970."), _example("1711036800")]
    members: Annotated[int, Field(ge=0), _example(5)]
    playback_status: Literal["stopped", "playing", "paused"]
    playback_volume: Annotated[int, Field(ge=-50, le=7)]
    playback_urls: list[str]
    playback_operation_id: Annotated[str, Field(description="Empty when nothing plays.")]


class Member(BaseModel):
    uuid: Annotated[str, Field(description="The session's id."), _example(_SESSION)]
    did: Annotated[str, Field(description="The number called."), _example("747713001")]
    caller_id: Annotated[str, _example("527121102")]
    muted: bool


class MemberList(BaseModel):
    room_id: RoomId
    members: list[Member]
    cursor: Annotated[str, Field(description="Empty when this is the last page.")]


class PlayStarted(BaseModel):
    operation_id: Annotated[str, _example(_OPERATION)]
    status: Literal["in_progress"]


class PlaybackChanged(BaseModel):
    operation_id: Annotated[
        str,
        Field(description="The playback that is current; empty when there is none."),
        _example(_OPERATION),
    ]
    status: Literal["paused", "resumed", "stopped", "volume_changed"]


class JoinStarted(BaseModel):
    status: Literal["joining"]
    room_id: RoomId


class AlreadyJoined(BaseModel):
    status: Literal["already_joined"]
    room_id: RoomId


class MembershipChanging(BaseModel):
    status: Literal["leaving", "muted", "unmuted"]
    room_id: RoomId


class Session(BaseModel):
    uuid: Annotated[str, Field(pattern=SESSION_ID, description="The session's id."), _example(_SESSION)]
    did: Annotated[str, Field(description="The number called."), _example("747713001")]
    caller_id: Annotated[str, _example("527121102")]
    state: Literal["parked", "joining", "joined", "leaving"]
    room_id: Annotated[str, Field(description="Empty while the session is in no room.")]
    member_id: Annotated[int | None, Field(description="The member's number on its node while it is in a room.")]
    muted: bool
    started_at: Annotated[str, Field(description="ISO 8601, UTC."), _example("2026-05-06T12:34:56Z")]


class SessionList(BaseModel):
    sessions: list[Session]
    cursor: Annotated[str, Field(description="Empty when this is the last page.")]


class Alive(BaseModel):
    status: Literal["ok"]


class Ready(BaseModel):
    status: Literal["ready"]
    store: bool
    nodes: Annotated[dict[str, bool], Field(description="Whether each media node is up, by its prefix.")]


class Error(BaseModel):
    """The one form of every error."""

    success: Literal[False]
    error: Annotated[str, Field(description="What is wrong, for a person to read."), _example("Session not found")]
    detail: Annotated[
        dict[str, Any],
        Field(description="For programs: `room_id`, `retry_after_ms`, or the `fields` of an invalid request."),
    ] = {}
