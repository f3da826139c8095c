"""The forms of requests and answers. The OpenAPI document is made from these.

Patterns are matched by pydantic's own engine, for which `$` is the very end of the text, as it is for JSON
Schema, and not, as for Python, also ahead of a trailing line break.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from controller.webhooks.connection import parse_url
from controller.webhooks.endpoint import matches
from controller.webhooks.types import TYPES
from esl.commands import clean_url
from web.times import parse_ms

_ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
_SESSION = "acW68-7f3d2c1b-0a9e-4d8c-b7f6-5e4d3c2b1a09"
_MOMENT = "2026-05-06T12:34:56.789Z"
_WEBHOOK = "msg_p07-1795374235886-0"
_OPERATION = "a1b2c3d4-e5f6-4890-abcd-ef1234567890"

_UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SESSION_ID = f"^[A-Za-z0-9]{{5}}-{_UUID}$"

MAX_URLS = 128
MAX_TYPES = 32


def _example(value: Any) -> Any:
    return Field(json_schema_extra={"example": value})


def _positive(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]*", text):
        raise ValueError("must be a positive integer")
    # Python refuses to read thousands of digits; the first 18 are far above every maximum as well.
    return int(text[:18])


def _playable(url: str) -> str:
    try:
        clean_url(url)
    except ValueError as error:
        raise ValueError(f"is not a URL that can be played: {error}") from None
    return url


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must have printable characters only")
    return text


def _endpoint(url: str) -> str:
    try:
        parse_url(url)
    except ValueError as error:
        raise ValueError(f"cannot be used: {error}") from None
    return url


def _known_type(pattern: str) -> str:
    if not any(matches(pattern, type_) for type_ in TYPES):
        raise ValueError("matches no type of webhook")
    return pattern


def _moment(text: str) -> str:
    try:
        parse_ms(text)
    except (ValueError, OverflowError):
        raise ValueError("is not a time") from None
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
    AfterValidator(_playable),
    _example("https://cdn.example.com/announcement.wav"),
]
EndpointUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        description="HTTP or HTTPS, with a host that is public, without user info; at most 2,048 characters.",
    ),
    AfterValidator(_endpoint),
    _example("https://app.example.com/hooks"),
]
TypePattern = Annotated[
    str,
    Field(
        max_length=64,
        pattern=r"^(\*|[a-z_]+(\.[a-z_]+)*(\.\*)?)$",
        description="A type, a beginning with `.*` for all below it, or `*` for all.",
    ),
    AfterValidator(_known_type),
    _example("conference.play.*"),
]
Moment = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z$",
        description="ISO 8601, UTC.",
    ),
    AfterValidator(_moment),
    _example("2026-05-06T12:34:56Z"),
]
TypeName = Annotated[str, Field(max_length=64, pattern=r"^[a-z_]+(\.[a-z_]+)*$"), _example("conference.created")]
WebhookId = Annotated[str, Field(description="The webhook's id."), _example(_WEBHOOK)]


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


class DeliveryPage(Page):
    """Which deliveries, and how many. What is left out is None, which is no value that can be given."""

    status: Annotated[Literal["retrying", "delivered", "failed"], Field(default=None, description="Only these.")]
    type: Annotated[TypeName, Field(default=None, description="Only of this type.")]
    room_id: Annotated[RoomId, Field(default=None, description="Only of this room.")]
    since: Annotated[Moment, Field(default=None, description="Only what happened then or later.")]
    until: Annotated[Moment, Field(default=None, description="Only what happened before then.")]


class WebhookPath(BaseModel):
    """An id of another form is no webhook's: the view answers 404."""

    webhook_id: Annotated[
        str,
        Field(
            description="The webhook's id.",
            json_schema_extra={"pattern": "^msg_p[0-9]{2}-[0-9]{1,15}-[0-9]{1,15}$", "example": _WEBHOOK},
        ),
    ]


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


class EndpointBody(Body):
    url: EndpointUrl
    types: Annotated[
        list[TypePattern],
        Field(min_length=1, max_length=MAX_TYPES, description="What to send there; everything if left out."),
    ] = ["*"]


class RangeBody(Body):
    since: Annotated[Moment, Field(description="What happened then or later.")]
    until: Annotated[Moment, Field(description="What happened before then.")]


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


class Waiting(BaseModel):
    operation_id: Annotated[str, _example(_OPERATION)]
    urls: list[str]


class Room(BaseModel):
    room_id: RoomId
    name: Annotated[str, _example("weekly-standup")]
    created_at: Annotated[str, Field(pattern="^[0-9]+$", description="Seconds since 1970."), _example("1711036800")]
    members: Annotated[int, Field(ge=0), _example(5)]
    playback_status: Literal["stopped", "playing", "paused"]
    playback_volume: Annotated[int, Field(ge=-50, le=7)]
    playback_urls: list[str]
    playback_operation_id: Annotated[str, Field(description="Empty when nothing plays.")]
    playback_queue: Annotated[list[Waiting], Field(description="What waits behind it, the next one first.")]


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


class Endpoint(BaseModel):
    url: Annotated[str, Field(description="Empty when there is none."), _example("https://app.example.com/hooks")]
    types: Annotated[list[str], _example(["conference.play.*", "session.*"])]
    status: Literal["unset", "active", "failing", "disabled"]
    since: Annotated[str | None, Field(description="Since when it is failing or disabled. ISO 8601, UTC.")]
    reason: Annotated[str, Field(description="Why it is; empty when it is neither.")]
    old_secret_until: Annotated[
        str | None, Field(description="Until when the secret before the last rotation signs too. ISO 8601, UTC.")
    ]


class Secret(BaseModel):
    secret: Annotated[str, Field(pattern="^whsec_"), _example("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]


class SentTest(BaseModel):
    webhook_id: Annotated[str, _example("msg_test-p07-1795374235886-0")]
    delivered: Annotated[bool, Field(description="Whether the answer was a 2xx.")]
    status: Annotated[int | None, Field(description="The HTTP status; null when there was no answer.")]
    error: Annotated[str | None, Field(description="Why there was no answer.")]
    latency_ms: Annotated[int, Field(ge=0), _example(42)]
    answer: Annotated[str | None, Field(description="The first 1,024 bytes of the answer's body.")]


class Delivery(BaseModel):
    webhook_id: WebhookId
    type: Annotated[str, _example("conference.created")]
    room_id: Annotated[str, Field(description="Empty when it is about a session outside rooms."), _example(_ROOM)]
    uuid: Annotated[str, Field(description="The session, when it is about one outside rooms; else empty.")]
    created_at: Annotated[str, Field(description="When it happened. ISO 8601, UTC."), _example(_MOMENT)]
    status: Literal["pending", "retrying", "delivered", "failed"]
    attempts: Annotated[int, Field(ge=0), _example(1)]
    next_attempt_at: Annotated[str | None, Field(description="When it is tried again. ISO 8601, UTC.")]


class DeliveryList(BaseModel):
    deliveries: list[Delivery]
    cursor: Annotated[
        str,
        Field(description="Empty when this is the last page. A page may be short, or empty, and not be the last."),
    ]


class Attempt(BaseModel):
    number: Annotated[int, Field(ge=1)]
    at: Annotated[str, Field(description="ISO 8601, UTC."), _example(_MOMENT)]
    status: Annotated[int | None, Field(description="The HTTP status; null when there was no answer.")]
    error: Annotated[str | None, Field(description="Why there was no answer.")]
    latency_ms: Annotated[int, Field(ge=0), _example(42)]
    answer: Annotated[str | None, Field(description="The first 1,024 bytes of the answer's body.")]


class DeliveryDetail(Delivery):
    data: Annotated[dict[str, Any], Field(description="The `data` of its body.")]
    tried: Annotated[list[Attempt], Field(description="The last 20 attempts, the oldest first.")]


class Redelivery(BaseModel):
    webhook_id: WebhookId
    status: Literal["retrying"]


class RangeRedelivery(BaseModel):
    webhooks: Annotated[int, Field(ge=0, description="How many will be sent again."), _example(120)]


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
