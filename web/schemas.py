"""The forms of requests and responses. The OpenAPI document is made from these."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from controller.commands.sessions import HANGUP_CAUSES
from controller.commands.sessions import Member as MemberRow
from controller.idempotency import MAX_KEY_LENGTH
from controller.ids import EVENT_ID, RECORDING_ID, ROOM_ID, SESSION_ID, WEBHOOK_ID
from controller.limits import (
    MAX_DIGIT_MS,
    MAX_DIGIT_TIMEOUT,
    MAX_DIGITS,
    MAX_DIGITS_TIMEOUT,
    MAX_REASON_LENGTH,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    MAX_VOLUME,
    MIN_DIGIT_MS,
    MIN_VOLUME,
)
from controller.live import KINDS_OF_APP, WEBHOOK
from controller.operators import MAX_LINK_SECONDS, MIN_LINK_SECONDS, OPERATE, USUAL_LINK_SECONDS
from controller.outbound.target import parse_url
from controller.room_options import BEEPS, OPTIONS
from controller.sessions.dialing import (
    DESTINATION,
    MAX_DESTINATION,
    MAX_TIMEOUT,
    MIN_TIMEOUT,
    NUMBER,
    URI,
    USUAL_TIMEOUT,
)
from controller.sessions.flags import FLAGS, Change
from controller.sessions.levels import LEVELS, MAX_LEVEL, MIN_LEVEL
from controller.store.states import (
    DELIVERY_STATUSES,
    LEG_STATES,
    LISTED_STATUSES,
    PLAYBACK_STATUSES,
    RECORDING_STATES,
    ROLES,
    SESSION_STATES,
)
from controller.times import iso, parse_ms
from controller.webhooks.endpoint import EndpointStatus, matches
from controller.webhooks.types import AUDIO, COACHED, DATA, OPERATION, RECORDING, ROOM, SESSION, TEST, TYPES, OneOf
from esl.commands import MAX_URL_LENGTH, clean_url
from web.auth import API_PREFIX

_MOMENT = "2026-05-06T12:34:56.789Z"
_WEBHOOK = "msg_p07-1795374235886-0"
_HOOKS = "https://app.example.com/hooks"

MAX_ROOMS = 200
MAX_MEMBERS = 1000
MAX_SESSIONS = 1000
MAX_DELIVERIES = 200
MAX_RECORDINGS = 200
MAX_URLS = 128
MAX_DEPTH = 16  # of the body of a command in a batch; a much deeper one could not be written again
MAX_BEYOND_ASCII = 512
MAX_TYPES = 32
MAX_STREAM_ROOMS = 32
MAX_BATCH = 100  # commands
MAX_PATH = 256
LAST_EVENT_ID = "Last-Event-ID"
IDEMPOTENCY_KEY = "Idempotency-Key"

_HOST = re.compile(r"[^/?#]*//([^/?#:]*)").match


@dataclass(frozen=True, slots=True)
class _Form:
    """Text of one form: the OpenAPI document has its `pattern`, an error says it in `words`."""

    pattern: str
    max_length: int
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$", "maxLength": self.max_length}

    def _check(self, text: str) -> str:
        if len(text) > self.max_length or not re.fullmatch(self.pattern, text):
            raise ValueError(self.words)
        return text


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


def _audible(beep: str) -> str:
    return beep if beep in BEEPS else _playable(beep)


def _affordable(urls: Any) -> Any:
    """Checked before the names are encoded, which takes a millisecond or two each."""
    given = (url for url in urls if isinstance(url, str)) if isinstance(urls, list) else ()
    hosts = {found[1] for url in given if (found := _HOST(url)) and not found[1].isascii()}
    if sum(map(len, hosts)) > MAX_BEYOND_ASCII:
        raise ValueError(f"must have at most {MAX_BEYOND_ASCII} characters in names beyond ASCII; write them as xn--")
    return urls


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must have printable characters only")
    return text


def _different(tags: list[str]) -> list[str]:
    if len(set(tags)) < len(tags):
        raise ValueError("must not hold a tag twice")
    return tags


def _shallow(body: dict[str, Any] | None) -> dict[str, Any] | None:
    if _deeper_than(MAX_DEPTH, body):
        raise ValueError(f"must be nested at most {MAX_DEPTH} deep")
    return body


def _deeper_than(depth: int, value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return parts is not None and (not depth or any(_deeper_than(depth - 1, part) for part in parts))


def _reachable(what: str) -> Callable[[str], str]:
    """A check of the form of a URL that Switchroom connects to."""

    def check(url: str) -> str:
        try:
            parse_url(url)
        except ValueError as error:
            raise ValueError(f"cannot be used: the {what} {error}") from None
        return url

    return check


def _known_type(pattern: str) -> str:
    if not any(matches(pattern, type_) for type_ in TYPES):
        raise ValueError("matches no type of webhook; /docs lists them")
    return pattern


def _type(name: str) -> str:
    if name not in TYPES:
        raise ValueError("is no type of webhook; /docs lists them")
    return name


_MOMENT_WORDS = "must be a time in UTC, such as 2026-05-06T12:34:56Z"


def _moment(text: str) -> str:
    try:
        parse_ms(text)
    except (ValueError, OverflowError):
        raise ValueError(_MOMENT_WORDS) from None
    return text


RoomId = Annotated[
    str,
    _Form(ROOM_ID.pattern, len(ROOM), f"must be the id of a room, such as {ROOM}"),
    Field(description="The room's id."),
    _example(ROOM),
]
RoomName = Annotated[
    str,
    _Form(
        "[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
        64,
        "must be 1 to 64 letters, digits, hyphens and underscores, and begin with a letter or digit",
    ),
    Field(description="1 to 64 letters, digits, hyphens and underscores; the first a letter or digit."),
    _example("weekly-standup"),
]
Did = Annotated[
    str,
    _Form(
        rf"(?:\+?[A-Za-z0-9*#._-]{{1,66}}|{URI.pattern})",
        MAX_DESTINATION,
        "must be a number or SIP URI as it was dialled, such as 747713001, with a + written as %2B",
    ),
    Field(description="The number or SIP URI that was called."),
    _example("747713001"),
]
Number = Annotated[
    str, _Form(NUMBER.pattern, 16, "must be 2 to 15 digits, with a + before them if any, such as +4930123456")
]
Destination = Annotated[
    str,
    _Form(
        DESTINATION.pattern,
        MAX_DESTINATION,
        "must be 2 to 15 digits, with a + before them if any, such as +4930123456, or a SIP URI of a user and a host in"
        " lower case, such as sip:anna@pbx.example.com",
    ),
    Field(description="The number or SIP URI to call."),
    _example("+493012345678"),
]
CommandUid = Annotated[
    str,
    Field(min_length=1, max_length=64, description="The caller's own id of the command."),
    AfterValidator(_printable),
    _example("mute-0042"),
]
Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG_LENGTH), AfterValidator(_printable)]
Tags = Annotated[
    list[Tag],
    FailFast(),
    Field(
        max_length=MAX_TAGS,
        description=f"Up to {MAX_TAGS} different texts, each of 1 to {MAX_TAG_LENGTH} printable characters.",
    ),
    AfterValidator(_different),
    _example(["agent"]),
]
Reason = Annotated[
    str,
    Field(min_length=1, max_length=MAX_REASON_LENGTH, description="Why, for the webhook: printable characters."),
    AfterValidator(_printable),
    _example("Off topic"),
]
Role = Annotated[str, OneOf(*ROLES), _example(ROLES[0])]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL_LENGTH,
        description="HTTP or HTTPS, with a host, without user info; at most 2,048 characters, also once it is"
        " percent-encoded.",
    ),
    AfterValidator(_playable),
    _example(AUDIO),
]
Beep = Annotated[str, Field(min_length=1, max_length=MAX_URL_LENGTH), AfterValidator(_audible)]
EndpointUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        description="HTTP or HTTPS, with a host that is public, without user info; at most 2,048 characters.",
    ),
    AfterValidator(_reachable("webhook URL")),
    _example(_HOOKS),
]
UploadUrl = Annotated[str, Field(min_length=1, max_length=8192), AfterValidator(_reachable("URL"))]
TypePattern = Annotated[
    str,
    _Form(
        r"(\*|[a-z_]+(\.[a-z_]+)*(\.\*)?)",
        64,
        "must be a type of webhook, such as session.ended, or the beginning of some, such as conference.play.*, or *",
    ),
    AfterValidator(_known_type),
    Field(description="A type, a beginning with `.*` for all below it, or `*` for all."),
    _example("conference.play.*"),
]
Moment = Annotated[
    str,
    _Form(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z", len(_MOMENT), _MOMENT_WORDS),
    AfterValidator(_moment),
    Field(description="ISO 8601, UTC."),
    _example("2026-05-06T12:34:56Z"),
]
TypeName = Annotated[
    str, AfterValidator(_type), Field(json_schema_extra={"enum": list(TYPES), "example": "conference.created"})
]
RecordingId = Annotated[
    str,
    Field(pattern=f"^{RECORDING_ID.pattern}$", description="The recording's id."),
    _example(RECORDING),
]
WebhookId = Annotated[str, Field(description="The webhook's id."), _example(_WEBHOOK)]
State = Annotated[str, OneOf(*SESSION_STATES), _example("joined")]
Cursor = Annotated[
    str,
    Field(description="Empty when this is the last page. A page that was narrowed may be short, and not be the last."),
]


LIMIT = {option.name: option.most for option in OPTIONS}
# Of an option of a room.
OPTION: dict[str, Any] = {
    option.name: Field(description=option.description, json_schema_extra={"example": option.example})
    for option in OPTIONS
}


VolumeIn = Annotated[
    int, Field(ge=MIN_LEVEL, le=MAX_LEVEL, description="How loud the member is to the others."), _example(2)
]
VolumeOut = Annotated[
    int, Field(ge=MIN_LEVEL, le=MAX_LEVEL, description="How loud the room is to the member."), _example(0)
]


# Requests


class RoomPath(BaseModel):
    room_id: RoomId


class RecordingPath(BaseModel):
    """An id of another form is no recording's: the view answers 404."""

    recording_id: Annotated[
        str,
        Field(
            description="The recording's id.",
            json_schema_extra={"pattern": f"^{RECORDING_ID.pattern}$", "example": RECORDING},
        ),
    ]


class SessionPath(BaseModel):
    """An id of another form is no session's: the view answers 404, once the body has been checked."""

    uuid: Annotated[
        str,
        Field(
            description="The session's id.",
            json_schema_extra={"pattern": f"^{SESSION_ID.pattern}$", "example": SESSION},
        ),
    ]


class MemberPath(RoomPath, SessionPath):
    """An id of another form is no session's."""


class Query(BaseModel):
    """No parameters, until a request names some."""

    model_config = ConfigDict(extra="forbid")


Limit = Annotated[int, Field(ge=1), BeforeValidator(_positive)]


def _limit_text(entries: int) -> Any:
    return Field(description=f"How many entries to return at the most: 1 to {entries}. More means {entries}.")


class Page(Query):
    """Where a listing goes on. What narrows it is None when it was left out, which is no value that can be given."""

    cursor: Annotated[str, Field(description="The cursor of the page before; absent or empty for the first page.")] = ""

    @property
    def narrowed_by(self) -> tuple[str, ...]:
        """Part of what the listing's cursors are sealed for."""
        given = self.model_dump(exclude={"limit", "cursor"}, exclude_none=True)
        return tuple(f"{name}={value}" for name, value in given.items())


class RoomPage(Page):
    limit: Annotated[Limit, _limit_text(MAX_ROOMS)] = 50
    name: Annotated[RoomName, Field(default=None, description="Only the room of this name.")]
    tag: Annotated[Tag, Field(default=None, description="Only rooms that have this tag."), _example("support")]


class MemberPage(Page):
    limit: Annotated[Limit, _limit_text(MAX_MEMBERS)] = 50


class SessionPage(Page):
    limit: Annotated[Limit, _limit_text(MAX_SESSIONS)] = 50
    state: Annotated[State, Field(default=None, description="Only sessions in this state.")]
    room_id: Annotated[
        RoomId,
        Field(default=None, description="Only sessions in this room, on their way in or out, or dialled for it."),
    ]
    did: Annotated[Did, Field(default=None, description="Only sessions that called this number, or this SIP URI.")]


class RecordingPage(Page):
    limit: Annotated[Limit, _limit_text(MAX_RECORDINGS)] = 50
    state: Annotated[str, OneOf(*RECORDING_STATES), Field(default=None, description="Only recordings in this state.")]
    room_id: Annotated[RoomId, Field(default=None, description="Only those of this room.")]
    uuid: Annotated[
        str,
        _Form(SESSION_ID.pattern, len(SESSION), f"must be the id of a session, such as {SESSION}"),
        Field(default=None, description="Only those of this session."),
        _example(SESSION),
    ]


class DeliveryPage(Page):
    limit: Annotated[Limit, _limit_text(MAX_DELIVERIES)] = 50
    status: Annotated[str, OneOf(*LISTED_STATUSES), Field(default=None, description="Only these.")]
    type: Annotated[TypeName, Field(default=None, description="Only of this type.")]
    room_id: Annotated[RoomId, Field(default=None, description="Only of this room.")]
    since: Annotated[Moment, Field(default=None, description="Only what happened then or later.")]
    until: Annotated[Moment, Field(default=None, description="Only what happened before then.")]


def split_list(text: str) -> tuple[str, ...]:
    """The entries of a list with commas between; an empty text has none."""
    return tuple(text.split(",")) if text else ()


def _each(text: str, form: TypeAdapter[str], most: int) -> str:
    """A list with commas between. Raises ValueError."""
    parts = text.split(",")
    if len(parts) > most:
        raise ValueError(f"must have at most {most} entries")
    for part in parts:
        try:
            form.validate_python(part)
        except ValidationError as error:
            raise ValueError(str(error.errors()[0]["ctx"]["error"])) from None
    return text


def _list_of(form: Any, most: int) -> AfterValidator:
    adapter = TypeAdapter(form)
    return AfterValidator(lambda text: _each(text, adapter, most))


def _known_event(pattern: str) -> str:
    if not any(matches(pattern, type_) for type_ in (*TYPES, *LOG_TYPES)) and not pattern.startswith(
        tuple(f"{type_}." for type_ in LOG_TYPES)
    ):
        raise ValueError("matches no type of event; /docs lists those of webhooks, and log.* are the others")
    return pattern


# What the lines of the event log are as events, but for those of webhooks.
LOG_TYPES = tuple(f"log.{kind}" for kind in sorted(KINDS_OF_APP - {WEBHOOK}))
EventPattern = Annotated[
    str,
    _Form(
        r"(\*|[a-z_]+(\.[a-z_]+)*(\.\*)?)",
        64,
        "must be types of events with commas between, such as session.ended, conference.play.* or log.refused",
    ),
    AfterValidator(_known_event),
]


class EventQuery(Query):
    room: Annotated[
        str,
        Field(default="", description="Only of this room, or these, with commas between."),
        _list_of(RoomId, MAX_STREAM_ROOMS),
        _example(ROOM),
    ]
    type: Annotated[
        str,
        Field(
            default="",
            description="Only of these types, with commas between. A beginning with `.*` stands for all below it.",
        ),
        _list_of(EventPattern, MAX_TYPES),
        _example("conference.member.*,log.refused"),
    ]

    @property
    def rooms(self) -> tuple[str, ...]:
        return split_list(self.room)

    @property
    def types(self) -> tuple[str, ...]:
        return split_list(self.type)


class IdempotencyHeaders(BaseModel):
    """Of every POST."""

    idempotency_key: Annotated[
        str,
        _Form(
            f"[ -~]{{1,{MAX_KEY_LENGTH}}}",
            MAX_KEY_LENGTH,
            f"must be 1 to {MAX_KEY_LENGTH} printable ASCII characters",
        ),
        Field(
            default="",
            alias=IDEMPOTENCY_KEY,
            description="Your own id of the request. Sent again with it within 24 hours, the request gets its first"
            " answer and does nothing.",
        ),
        _example("7f1e4a0c-mute-42"),
    ]


class EventHeaders(BaseModel):
    last_event_id: Annotated[
        str,
        _Form(EVENT_ID.pattern, 40, "must be the id of an event"),
        Field(default="", alias=LAST_EVENT_ID, description="Behind which event to go on; without it, from now on."),
        _example("p07-1795374235886-3"),
    ]


class RangeHeaders(BaseModel):
    """What is wanted of a file."""

    range: Annotated[
        str,
        Field(default="", alias="Range", description="Which bytes; all if it is left out."),
        _example("bytes=0-65535"),
    ]
    if_range: Annotated[
        str,
        Field(default="", alias="If-Range", description="The ETag of the file that the range is of."),
        _example(f'"{RECORDING}"'),
    ]
    if_none_match: Annotated[
        str,
        Field(default="", alias="If-None-Match", description="The ETag of the file that you have."),
        _example(f'"{RECORDING}"'),
    ]


class WebhookPath(BaseModel):
    """An id of another form is no webhook's: the view answers 404."""

    webhook_id: Annotated[
        str,
        Field(
            description="The webhook's id.",
            json_schema_extra={"pattern": f"^{WEBHOOK_ID.pattern}$", "example": _WEBHOOK},
        ),
    ]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Body):
    """No fields: the body may be left out."""


class _RoomOptions(Body):
    max_members: Annotated[int | None, Field(ge=1, le=LIMIT["max_members"]), OPTION["max_members"]] = None
    locked: Annotated[bool, OPTION["locked"]] = False
    end_when_empty: Annotated[int | None, Field(ge=1, le=LIMIT["end_when_empty"]), OPTION["end_when_empty"]] = None
    max_duration: Annotated[int | None, Field(ge=1, le=LIMIT["max_duration"]), OPTION["max_duration"]] = None
    tags: Annotated[Tags, OPTION["tags"]] = []
    end_on_exit: Annotated[Annotated[str, OneOf(*ROLES)] | None, OPTION["end_on_exit"]] = None
    wait_for_moderator: Annotated[bool, OPTION["wait_for_moderator"]] = False
    hold_music: Annotated[Url | None, OPTION["hold_music"]] = None
    beep_enter: Annotated[Beep | None, OPTION["beep_enter"]] = None
    beep_exit: Annotated[Beep | None, OPTION["beep_exit"]] = None
    record: Annotated[bool, OPTION["record"]] = False
    speaker_events: Annotated[bool, OPTION["speaker_events"]] = False


class NewRoom(_RoomOptions):
    name: RoomName


class RoomChanges(_RoomOptions):
    """What is left out stays as it is."""


class PlayBody(Body):
    urls: Annotated[
        list[Url],
        FailFast(),
        Field(min_length=1, max_length=MAX_URLS, description="What to play, in this order."),
        BeforeValidator(_affordable),
    ]


class VolumeBody(Body):
    volume: Annotated[
        int,
        Field(ge=MIN_VOLUME, le=MAX_VOLUME, description="Negative values attenuate, positive amplify."),
        _example(2),
    ]


class CommandBody(Body):
    """May be left out."""

    command_uid: CommandUid | None = None


class _RecordBody(CommandBody):
    upload_url: Annotated[
        UploadUrl | None,
        Field(
            description="Where the file is put once the recording has ended, by `PUT`: HTTP or HTTPS, with a host that"
            " is public, such as a pre-signed URL of an object store. Without it you fetch the file.",
        ),
        _example("https://storage.example.com/bucket/standup.wav?signature=3f9a"),
    ] = None


class RecordRoomBody(_RecordBody):
    """May be left out."""


class RecordSessionBody(_RecordBody):
    """May be left out."""

    channels: Annotated[
        int,
        Field(ge=1, le=2, description="2: stereo, what the caller says to the left, what he hears to the right."),
    ] = 1


class _JoinOptions(CommandBody):
    muted: Annotated[bool, Field(description="Whether it joins muted.")] = True
    deaf: Annotated[bool, Field(description="Whether it joins deaf: it hears nothing.")] = False
    volume_in: VolumeIn = 0
    volume_out: VolumeOut = 0
    role: Annotated[Role, Field(max_length=64, description="What it is for your application; it permits nothing.")] = (
        ROLES[0]
    )
    tags: Tags = []
    end_on_exit: Annotated[
        bool, Field(description="Whether the room is deleted when the last member that joined so leaves.")
    ] = False


class MemberChanges(CommandBody):
    """What is left out stays as it is."""

    muted: Annotated[bool, Field(description="Whether it is not heard.")] = False
    deaf: Annotated[bool, Field(description="Whether it hears nothing.")] = False
    hold: Annotated[bool, Field(description="Whether it is on hold, without music of yours.")] = False
    volume_in: VolumeIn = 0
    volume_out: VolumeOut = 0
    role: Annotated[Role, Field(max_length=64)] = ROLES[0]
    tags: Tags = []


class HoldBody(CommandBody):
    """May be left out."""

    url: Annotated[
        Url | None,
        Field(
            description="Of the music that it hears, 20 times over; that of the media node, or nothing, if left out."
        ),
    ] = None


class CoachBody(CommandBody):
    """Whom to coach."""

    session_id: Annotated[
        str,
        Field(min_length=1, max_length=128, description="The session of another member of the room."),
        _example(COACHED),
    ]


class JoinBody(_JoinOptions):
    """Which room to join, and as what."""

    room_id: RoomId


class DialBody(_JoinOptions):
    """Whom to call, and which room to join once the call is answered, and as what."""

    to: Destination
    caller_id: Annotated[
        Number,
        Field(alias="from", description="The number that is shown: one of those that the operator allows."),
        _example("+493098765432"),
    ]
    room_id: RoomId | None = None
    timeout: Annotated[
        int,
        Field(ge=MIN_TIMEOUT, le=MAX_TIMEOUT, description="For how many seconds it may ring."),
        _example(USUAL_TIMEOUT),
    ] = USUAL_TIMEOUT

    @model_validator(mode="after")
    def _joins_as_something(self) -> DialBody:
        """What it is to join as without a room would be nowhere."""
        names = [name for name in _JoinOptions.model_fields if name in self.model_fields_set and name != "command_uid"]
        if names and self.room_id is None:
            raise ValueError(f"has {names[0]}, which needs a room_id")
        return self


class TransferBody(CommandBody):
    """Whom to connect the call to."""

    to: Destination
    caller_id: Annotated[
        Number | None,
        Field(
            alias="from",
            description="The number that is shown: one of those that the operator allows, else the first of them.",
        ),
        _example("+493098765432"),
    ] = None
    timeout: Annotated[
        int,
        Field(ge=MIN_TIMEOUT, le=MAX_TIMEOUT, description="For how many seconds it may ring."),
        _example(USUAL_TIMEOUT),
    ] = USUAL_TIMEOUT


class KickBody(CommandBody):
    """May be left out."""

    reason: Reason | None = None


class MemberVolumeBody(CommandBody):
    direction: Annotated[
        str,
        OneOf(*(level.direction for level in LEVELS)),
        Field(description="`in`: how loud the member is to the others. `out`: how loud the room is to the member."),
        _example("in"),
    ]
    volume: Annotated[
        int,
        Field(ge=MIN_LEVEL, le=MAX_LEVEL, description="Negative values attenuate, positive amplify."),
        _example(2),
    ]


class BatchRequest(Body):
    method: Literal["POST", "PATCH", "DELETE"] = "POST"
    path: Annotated[
        str,
        _Form(f"{API_PREFIX}/[A-Za-z0-9/_-]+", MAX_PATH, f"must be a path below {API_PREFIX}, without parameters"),
        _example(f"{API_PREFIX}/sessions/{SESSION}/commands/conference/mute"),
    ]
    body: Annotated[
        dict[str, Any] | None,
        AfterValidator(_shallow),
        Field(description="The body that the command would have alone."),
    ] = None


class BatchBody(Body):
    requests: Annotated[
        list[BatchRequest],
        Field(
            min_length=1,
            max_length=MAX_BATCH,
            description="The commands, each with its `method` (POST if left out), `path` and `body`.",
        ),
    ]


class HangUpBody(CommandBody):
    """May be left out."""

    cause: Annotated[
        str,
        OneOf(*HANGUP_CAUSES),
        Field(description="What the caller's side is told. `session.ended` has FreeSWITCH's name of it."),
        _example("normal"),
    ] = "normal"


class SessionPlayBody(PlayBody, CommandBody):
    """What to play to a session."""


class DtmfBody(CommandBody):
    """Which digits."""

    digits: Annotated[
        str,
        _Form(
            f"(?=[wW]*[0-9A-D*#])[0-9A-D*#wW]{{1,{MAX_DIGITS}}}",
            MAX_DIGITS,
            f"must be 1 to {MAX_DIGITS} of 0-9, A-D, * and #, with w or W for pauses among them",
        ),
        Field(
            description=f"1 to {MAX_DIGITS} of `0`-`9`, `A`-`D`, `*`, `#`, and `w` for a pause of half a second, `W`"
            " for one of a second. Not pauses only."
        ),
        _example("1234w56#"),
    ]
    duration: Annotated[
        int, Field(ge=MIN_DIGIT_MS, le=MAX_DIGIT_MS, description="How long each digit is, in milliseconds.")
    ] = 250


class CollectBody(CommandBody):
    """May be left out."""

    max_digits: Annotated[int, Field(ge=1, le=MAX_DIGITS, description="How many digits are enough.")] = MAX_DIGITS
    terminators: Annotated[
        str,
        _Form("[0-9A-D*#]{0,16}", 16, "must be up to 16 of 0-9, A-D, * and #"),
        Field(description="The digits that end it; they are not among those collected. None if it is empty."),
        _example("#"),
    ] = "#"
    timeout: Annotated[
        int, Field(ge=1, le=MAX_DIGITS_TIMEOUT, description="For how many seconds the first digit is waited for.")
    ] = 10
    digit_timeout: Annotated[
        int, Field(ge=1, le=MAX_DIGIT_TIMEOUT, description="For how many seconds each other digit is waited for.")
    ] = 5


class AllBody(Body):
    """May be left out."""

    exclude: Annotated[
        list[
            Annotated[str, _Form(SESSION_ID.pattern, len(SESSION), f"must be the id of a session, such as {SESSION}")]
        ],
        Field(max_length=100, description="Sessions that stay as they are.", json_schema_extra={"example": [SESSION]}),
    ] = []
    exclude_moderators: Annotated[bool, Field(description="Whether moderators stay as they are.")] = False


class KickAllBody(AllBody):
    """May be left out."""

    reason: Reason | None = None


class EndpointBody(Body):
    url: EndpointUrl
    types: Annotated[
        list[TypePattern],
        FailFast(),
        Field(min_length=1, max_length=MAX_TYPES, description="What to send there; everything if left out."),
    ] = ["*"]


class TestBody(Body):
    """May be left out."""

    type: Annotated[
        str,
        OneOf(*DATA),
        Field(max_length=64, description="The type of which to send a sample."),
        _example("conference.member.joined"),
    ] = TEST


class RangeBody(Body):
    since: Annotated[Moment, Field(description="What happened then or later.")]
    until: Annotated[Moment, Field(description="What happened before then.")]


class PortalLinkBody(Body):
    role: Annotated[
        Literal["view", "operate"], Field(description="Whether the portal only shows, or acts as well.")
    ] = OPERATE
    expires_in: Annotated[
        int,
        Field(
            ge=MIN_LINK_SECONDS,
            le=MAX_LINK_SECONDS,
            description="For how many seconds the link can be opened. It can be once.",
        ),
    ] = USUAL_LINK_SECONDS


# Responses


class PortalLink(BaseModel):
    url: Annotated[
        str,
        Field(description="To be opened in a browser, once. Whoever has it is let in."),
        _example("https://rooms.example.com/console/#link=Zk3vXwq0mS4r8Yb1cP6tLhNfJdUaEgRo2iVx5yWzQ7s"),
    ]
    expires_at: Annotated[str, Field(description="ISO 8601, UTC."), _example("2026-05-06T13:34:56Z")]


class RoomCreated(BaseModel):
    room_id: RoomId


class RoomOptions(BaseModel):
    """All options of a room."""

    max_members: Annotated[int | None, OPTION["max_members"]]
    locked: Annotated[bool, OPTION["locked"]]
    end_when_empty: Annotated[int | None, OPTION["end_when_empty"]]
    max_duration: Annotated[int | None, OPTION["max_duration"]]
    tags: Annotated[list[str], OPTION["tags"]]
    end_on_exit: Annotated[Annotated[str, OneOf(*ROLES)] | None, OPTION["end_on_exit"]]
    wait_for_moderator: Annotated[bool, OPTION["wait_for_moderator"]]
    hold_music: Annotated[str | None, OPTION["hold_music"]]
    beep_enter: Annotated[str | None, OPTION["beep_enter"]]
    beep_exit: Annotated[str | None, OPTION["beep_exit"]]
    record: Annotated[bool, OPTION["record"]]
    speaker_events: Annotated[bool, OPTION["speaker_events"]]


class RoomChanged(RoomOptions):
    room_id: RoomId


class RoomDeleted(BaseModel):
    room_id: RoomId


class RunningRecording(BaseModel):
    recording_id: RecordingId
    state: Annotated[str, OneOf("starting", "recording", "paused", "stopping"), _example("recording")]


class RoomEntry(BaseModel):
    room_id: RoomId
    name: Annotated[str, _example("team-standup")]
    members: Annotated[int, Field(ge=0), _example(3)]
    created_at: Annotated[str, Field(description="ISO 8601, UTC."), _example("2026-05-06T12:34:56Z")]
    tags: Annotated[list[str], OPTION["tags"]]
    recording: Annotated[
        RunningRecording | None,
        Field(description="That which goes on of the room; null while there is none."),
        _example(None),
    ]


class RoomList(BaseModel):
    conferences: Annotated[list[RoomEntry], Field(max_length=MAX_ROOMS)]
    cursor: Cursor


class Waiting(BaseModel):
    operation_id: Annotated[str, _example(OPERATION)]
    urls: list[str]


class Playing(BaseModel):
    operation_id: Annotated[str, _example(OPERATION)]
    urls: Annotated[list[str], _example([AUDIO])]
    index: Annotated[
        int,
        Field(ge=0, description="Of the URL in `urls` that plays now, or comes next: it may be on its way still."),
        _example(0),
    ]


class RoomNode(BaseModel):
    prefix: Annotated[str, Field(description="The media node's."), _example("acW68")]
    members: Annotated[int, Field(ge=0), _example(5)]
    bridge: Annotated[
        str,
        OneOf("source", *LEG_STATES),
        Field(description="`source` for the node that mixes the room, else the state of the bridge leg to it."),
        _example("source"),
    ]


class Room(RoomOptions):
    room_id: RoomId
    name: Annotated[str, _example("weekly-standup")]
    created_at: Annotated[str, Field(pattern="^[0-9]+$", description="Seconds since 1970."), _example("1711036800")]
    started_at: Annotated[
        str | None,
        Field(pattern="^[0-9]+$", description="When the first member joined, in seconds since 1970; null before that."),
        _example("1711036900"),
    ]
    duration: Annotated[int, Field(ge=0, description="Seconds since then."), _example(1260)]
    members: Annotated[int, Field(ge=0), _example(5)]
    peak_members: Annotated[int, Field(ge=0, description="The most members that there were at once."), _example(9)]
    begun: Annotated[
        bool,
        Field(description="`false` while those who join wait: it has `wait_for_moderator`, and no moderator has come."),
    ]
    recording: Annotated[
        RunningRecording | None,
        Field(description="That which goes on of the room; null while there is none."),
        _example(None),
    ]
    nodes: Annotated[list[RoomNode], Field(description="The media nodes on which the room is, its source first.")]
    playback_status: Annotated[str, OneOf(*PLAYBACK_STATUSES)]
    playback_volume: Annotated[int, Field(ge=MIN_VOLUME, le=MAX_VOLUME)]
    playback_urls: Annotated[list[str], _example([])]
    playback_operation_id: Annotated[str, Field(description="Empty when nothing plays.")]
    playback_queue: Annotated[
        list[Waiting], Field(description="What waits behind it, the next one first."), _example([])
    ]
    playing: Annotated[Playing | None, Field(description="What plays, and where it is; null when nothing does.")]


class Member(BaseModel):
    uuid: Annotated[str, Field(description="The session's id."), _example(SESSION)]
    node: Annotated[str, Field(description="The prefix of the media node that has the call."), _example("acW68")]
    did: Annotated[str, Field(description="The number or SIP URI called."), _example("747713001")]
    caller_id: Annotated[str, _example("527121102")]
    muted: bool
    deaf: bool
    hold: bool
    volume_in: VolumeIn
    volume_out: VolumeOut
    role: Role
    tags: Annotated[list[str], _example(["agent"])]
    end_on_exit: Annotated[bool, Field(description="Whether its join said `end_on_exit`.")]
    recording: Annotated[
        RunningRecording | None,
        Field(description="That which goes on of its call; null while there is none."),
        _example(None),
    ]
    waiting: Annotated[bool, Field(description="Whether it waits for a moderator, who lets it in.")]
    coaching: Annotated[
        str | None,
        Field(description="The session by which alone it is heard, if it coaches one; null if not."),
        _example(None),
    ]
    speaking: Annotated[bool, Field(description="Whether it speaks now; `false` unless its room has `speaker_events`.")]
    joined_at: Annotated[
        str | None,
        Field(description="ISO 8601, UTC. Null for one that joined before an upgrade."),
        _example("2026-05-06T12:40:00Z"),
    ]


class MemberList(BaseModel):
    room_id: RoomId
    members: Annotated[list[Member], Field(max_length=MAX_MEMBERS)]
    cursor: Cursor


class PlayStarted(BaseModel):
    operation_id: Annotated[str, _example(OPERATION)]
    status: Literal["in_progress"]


class SessionPlayAccepted(BaseModel):
    uuid: Annotated[str, Field(description="The session's id."), _example(SESSION)]
    operation_id: Annotated[str, _example(OPERATION)]
    status: Literal["in_progress"]


class SessionPlayEnding(BaseModel):
    uuid: Annotated[str, Field(description="The session's id."), _example(SESSION)]
    operation_id: Annotated[
        str, Field(description="What was stopped; empty if nothing was played."), _example(OPERATION)
    ]
    status: Literal["stopped"]


class AllStarted(BaseModel):
    operation_id: Annotated[
        str,
        Field(description="Its webhooks have it: as `command_uid` those about a member."),
        _example(OPERATION),
    ]
    status: Literal["in_progress"]


class Playback(BaseModel):
    operation_id: Annotated[
        str,
        Field(description="The playback that is current; empty when there is none."),
        _example(OPERATION),
    ]


class PauseToggled(Playback):
    status: Literal["paused", "resumed"]


class PlaybackStopped(Playback):
    status: Literal["stopped"]


class VolumeSet(Playback):
    status: Literal["volume_changed"]


class JoinStarted(BaseModel):
    status: Literal["joining"]
    room_id: RoomId


class AlreadyJoined(BaseModel):
    status: Literal["already_joined"]
    room_id: RoomId


class BatchResult(BaseModel):
    status: Annotated[int, Field(description="The status of HTTP."), _example(202)]
    code: Annotated[str, Field(description="Why it was refused, in a word; empty if it was not."), _example("")]
    body: Annotated[
        dict[str, Any],
        Field(description="What it would have got alone."),
        _example({"status": "muted", "room_id": ROOM}),
    ]


class BatchResults(BaseModel):
    results: Annotated[list[BatchResult], Field(max_length=MAX_BATCH, description="In the order of the commands.")]


class KickStarted(BaseModel):
    status: Literal["leaving"]
    room_id: RoomId


class HangUpStarted(BaseModel):
    uuid: Annotated[str, Field(description="The session's id."), _example(SESSION)]
    status: Literal["hanging_up"]


class RecordingStarted(BaseModel):
    recording_id: RecordingId
    status: Literal["starting"]


class RecordingChanging(BaseModel):
    recording_id: RecordingId
    status: Annotated[Literal["paused", "resumed", "stopping"], Field(description="What it is to be.")]


class DtmfStarted(BaseModel):
    uuid: Annotated[str, Field(description="The session's id."), _example(SESSION)]
    status: Literal["sending"]


class CollectStarted(BaseModel):
    uuid: Annotated[str, Field(description="The session's id."), _example(SESSION)]
    status: Literal["collecting"]


class MemberChanging(BaseModel):
    uuid: Annotated[str, Field(description="The session's id."), _example(SESSION)]
    status: Literal["changing"]
    room_id: RoomId
    changing: Annotated[
        list[str],
        Field(description="What the media node has yet to confirm. What was so already is not among it."),
        _example(["muted", "volume_in"]),
    ]


class MemberVolumeStarted(BaseModel):
    status: Literal["volume_changed"]
    room_id: RoomId


class CoachStarted(BaseModel):
    status: Literal["coaching"]
    room_id: RoomId


class UncoachStarted(BaseModel):
    status: Literal["uncoached"]
    room_id: RoomId


class DialStarted(BaseModel):
    uuid: Annotated[str, Field(description="The session's id."), _example(SESSION)]
    status: Literal["dialing"]


class TransferStarted(BaseModel):
    uuid: Annotated[str, Field(description="The session's id."), _example(SESSION)]
    status: Literal["transferring"]


class LeaveStarted(BaseModel):
    status: Literal["leaving"]
    room_id: RoomId


def flag_changing(change: Change) -> type[BaseModel]:
    """The response to a command that changes a flag of a member."""
    status: Any = Literal[change.done]
    return create_model(f"{change.command.capitalize()}Started", status=(status, ...), room_id=(RoomId, ...))


def membership_of(row: MemberRow) -> dict[str, object]:
    """What a member is."""
    fields: Mapping[str, Any] = row
    joined_at = row["joined_at"]
    return {
        **{item.name: fields[item.name] for item in (*FLAGS, *LEVELS)},
        "role": row["role"],
        "tags": row.get("tags", []),
        "end_on_exit": row["end_on_exit"],
        "recording": row["recording"],
        "waiting": row["waiting"],
        "coaching": row["coaching"],
        "speaking": row["speaking"],
        "joined_at": None if joined_at is None else iso(joined_at),
    }


def options_of(row: Mapping[str, object]) -> dict[str, object]:
    """A room's options, by their names."""
    return {option.name: row[option.name] for option in OPTIONS}


class Session(BaseModel):
    uuid: Annotated[str, Field(pattern=f"^{SESSION_ID.pattern}$", description="The session's id."), _example(SESSION)]
    node: Annotated[str, Field(description="The prefix of the media node that has the call."), _example("acW68")]
    did: Annotated[str, Field(description="The number or SIP URI called."), _example("747713001")]
    caller_id: Annotated[str, _example("527121102")]
    direction: Annotated[
        Literal["inbound", "outbound"], Field(description="Whether it has called, or you have."), _example("inbound")
    ]
    state: State
    room_id: Annotated[
        str,
        Field(
            description="Empty while the session is in no room. While it is dialled: the room that it will join, if any"
            ", and the fields of a member say what it will be."
        ),
        _example(ROOM),
    ]
    member_id: Annotated[
        int | None, Field(description="The member's number on its node while it is in a room."), _example(7)
    ]
    transferred_to: Annotated[
        str | None,
        Field(description="The number or SIP URI, while it is `transferring` or `transferred`; else null."),
        _example(None),
    ]
    muted: bool
    deaf: bool
    hold: bool
    volume_in: VolumeIn
    volume_out: VolumeOut
    role: Role
    tags: Annotated[list[str], Field(description="Empty while it is no member."), _example(["agent"])]
    end_on_exit: Annotated[bool, Field(description="Whether its join said `end_on_exit`.")]
    recording: Annotated[
        RunningRecording | None,
        Field(description="That which goes on of its call; null while there is none."),
        _example(None),
    ]
    waiting: Annotated[bool, Field(description="Whether it waits for a moderator, who lets it in.")]
    coaching: Annotated[
        str | None,
        Field(description="The session by which alone it is heard, if it coaches one; null if not."),
        _example(None),
    ]
    speaking: Annotated[bool, Field(description="Whether it speaks now; `false` unless its room has `speaker_events`.")]
    joined_at: Annotated[
        str | None,
        Field(description="When it became a member. ISO 8601, UTC. Null while it is none."),
        _example("2026-05-06T12:40:00Z"),
    ]
    started_at: Annotated[str, Field(description="ISO 8601, UTC."), _example("2026-05-06T12:34:56Z")]


class SessionDetails(Session):
    playing: Annotated[
        Playing | None, Field(description="What is played to this call alone; null when nothing is. Not in lists.")
    ]


class SessionList(BaseModel):
    sessions: Annotated[list[Session], Field(max_length=MAX_SESSIONS)]
    cursor: Cursor


class Recording(BaseModel):
    recording_id: RecordingId
    room_id: Annotated[str, Field(description="Empty when it is of a session."), _example(ROOM)]
    uuid: Annotated[str, Field(description="The session, when it is of one; else empty."), _example("")]
    state: Annotated[str, OneOf(*RECORDING_STATES), _example("available")]
    channels: Annotated[int, Field(ge=1, le=2, description="Of its file: 2 is for stereo."), _example(1)]
    created_at: Annotated[str, Field(description="When it was asked for. ISO 8601, UTC."), _example(_MOMENT)]
    started_at: Annotated[
        str | None, Field(description="When it began, once it has. ISO 8601, UTC."), _example(_MOMENT)
    ]
    ended_at: Annotated[str | None, Field(description="When it ended, once it has. ISO 8601, UTC."), _example(_MOMENT)]
    reason: Annotated[str | None, Field(description="Why it ended or failed, once it has."), _example("asked")]
    duration: Annotated[
        float | None, Field(ge=0, description="How long it is, in seconds, without its pauses."), _example(61.24)
    ]
    size: Annotated[int | None, Field(ge=0, description="How large its file is, in bytes."), _example(979884)]
    uploaded: Annotated[bool, Field(description="Whether it was put to your `upload_url`.")]
    upload_host: Annotated[
        str | None, Field(description="The host of your `upload_url`, until it was put there."), _example(None)
    ]
    upload_attempts: Annotated[
        int | None, Field(ge=0, description="How often that was tried, if there is one."), _example(None)
    ]
    http_status: Annotated[
        int | None, Field(description="What your server responded with last, unless it took it."), _example(None)
    ]
    expires_at: Annotated[
        str | None,
        Field(description="Until when its file can be fetched, if it can be. ISO 8601, UTC."),
        _example(_MOMENT),
    ]


class RecordingList(BaseModel):
    recordings: Annotated[list[Recording], Field(max_length=MAX_RECORDINGS)]
    cursor: Cursor


class RecordingDeleted(BaseModel):
    recording_id: RecordingId


class Endpoint(BaseModel):
    url: Annotated[str, Field(description="Empty when there is none."), _example("https://app.example.com/hooks")]
    types: Annotated[list[str], _example(["conference.play.*", "session.*"])]
    status: Annotated[str, OneOf(*EndpointStatus), _example("active")]
    since: Annotated[
        str | None, Field(description="Since when it is failing or disabled. ISO 8601, UTC."), _example(None)
    ]
    reason: Annotated[str, Field(description="Why it is; empty when it is neither.")]
    old_secret_until: Annotated[
        str | None,
        Field(description="Until when the secret before the last rotation signs too. ISO 8601, UTC."),
        _example(None),
    ]


class Secret(BaseModel):
    secret: Annotated[str, Field(pattern="^whsec_"), _example("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]


class SentTest(BaseModel):
    webhook_id: Annotated[str, _example("msg_test-p07-1795374235886-0")]
    delivered: Annotated[bool, Field(description="Whether the answer was a 2xx.")]
    status: Annotated[int | None, Field(description="The HTTP status; null when there was no answer."), _example(204)]
    error: Annotated[str | None, Field(description="Why there was no answer."), _example(None)]
    latency_ms: Annotated[int, Field(ge=0), _example(42)]
    answer: Annotated[str | None, Field(description="The first 1,024 bytes of the answer's body.")]


class Delivery(BaseModel):
    webhook_id: WebhookId
    type: Annotated[str, _example("conference.created")]
    room_id: Annotated[str, Field(description="Empty when it is about a session outside rooms."), _example(ROOM)]
    uuid: Annotated[str, Field(description="The session, when it is about one outside rooms; else empty.")]
    created_at: Annotated[str, Field(description="When it happened. ISO 8601, UTC."), _example(_MOMENT)]
    status: Annotated[str, OneOf(*DELIVERY_STATUSES), _example("delivered")]
    attempts: Annotated[int, Field(ge=0), _example(1)]
    next_attempt_at: Annotated[str | None, Field(description="When it is tried again. ISO 8601, UTC."), _example(None)]


class DeliveryList(BaseModel):
    deliveries: Annotated[list[Delivery], Field(max_length=MAX_DELIVERIES)]
    cursor: Cursor


class Attempt(BaseModel):
    number: Annotated[int, Field(ge=1), _example(1)]
    at: Annotated[str, Field(description="ISO 8601, UTC."), _example(_MOMENT)]
    status: Annotated[int | None, Field(description="The HTTP status; null when there was no answer."), _example(204)]
    error: Annotated[str | None, Field(description="Why there was no answer."), _example(None)]
    latency_ms: Annotated[int, Field(ge=0), _example(42)]
    answer: Annotated[str | None, Field(description="The first 1,024 bytes of the answer's body.")]


class DeliveryDetail(Delivery):
    data: Annotated[
        dict[str, Any],
        Field(description="The `data` of its body."),
        _example({"app_id": "demo", "sequence": 1, "room_id": ROOM, "name": "weekly-standup"}),
    ]
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
    nodes: Annotated[
        dict[str, bool], Field(description="Whether each media node is up, by its prefix."), _example({"acW68": True})
    ]


class Problem(BaseModel):
    field: Annotated[
        str, Field(description="A field or parameter; `body` for the body as a whole."), _example("urls.0")
    ]
    problem: Annotated[str, Field(description="What is wrong with it."), _example("must be a string")]


class Detail(BaseModel):
    """What else an error says, for programs. What is there depends on the error."""

    fields: Annotated[list[Problem], Field(default=None, description="400: what is wrong, 20 problems at the most.")]
    room_id: Annotated[
        RoomId, Field(default=None, description="409: the room that has the name, or that the session is in.")
    ]
    recording_id: Annotated[RecordingId, Field(default=None, description="409: the recording that goes on.")]
    max_bytes: Annotated[int, Field(default=None, description="413: how long the body may be."), _example(16384)]
    retry_after_ms: Annotated[
        int, Field(default=None, description="429, and some of 409 and 403: when to ask again."), _example(1250)
    ]
    group: Annotated[
        str,
        Field(default=None, description="429: whose cooldown it is; absent when the application asks too often."),
        _example("conf_play"),
    ]
    quota: Annotated[str, Field(default=None, description="409, 403: the quota that is used up."), _example("rooms")]
    limit: Annotated[int, Field(default=None, description="409, 403: how much it allows."), _example(1000)]
    used: Annotated[int, Field(default=None, description="409, 403: how much of it is used."), _example(1000)]
    store: Annotated[bool, Field(default=None, description="503 of `/readyz`: whether the store answers.")]
    nodes: Annotated[
        dict[str, bool],
        Field(default=None, description="503 of `/readyz`: whether each media node is up, by its prefix."),
        _example({"acW68": False}),
    ]


class Error(BaseModel):
    """The one form of every error."""

    success: Literal[False]
    error: Annotated[str, Field(description="What is wrong, for a person to read."), _example("Session not found")]
    detail: Annotated[Detail, Field(default=None)]
