"""A stand-in for the service, in memory, for the tests of programs that use it.

    fake = FakeSwitchroom()
    client = fake.client()
    session = fake.call(caller_id="527121102")
    room = client.create_room("weekly-standup").room_id
    client.join(session, room)
    assert fake.types() == ["session.started", "conference.created", "conference.member.joined"]

It responds to requests as the service does: the same checks in the same order, cooldowns, `command_uid`, idempotency
keys, pages, states, and the same webhooks. One suite of tests is run on it and on the real service. It has a clock of
its own, which moves when the client waits, or by `advance`. Media nodes confirm commands at once, unless `confirms` is
False: then commands wait for `confirm` or `refuse`.

There is one app, one node, no quotas, no rate of requests and no event stream. A webhook is attempted once. Files play
until `finish_play`. A recording has what is in `recorded`, and what is put to an `upload_url` is in `uploads`. Every
number may be dialled, and answers when the node confirms, but for those in `unanswered`.
"""

from __future__ import annotations

import json
import math
import re
import struct
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from standardwebhooks.webhooks import Webhook as StandardWebhook

from switchroom.client import webhooks
from switchroom.client.client import API, Client
from switchroom.client.transport import Request, Response, Stream
from switchroom.client.webhooks import Data, Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 (that of the documentation)
ANSWER_SECONDS = 60  # for which a command_uid names a command
KEPT_SECONDS = 86_400  # for which an idempotency key stands for a request
MAX_ENTRIES = {"conferences": 200, "members": 1000, "sessions": 1000, "recordings": 200, "deliveries": 200}
COOLDOWNS = {
    "conf_play": 2.0,
    "conference_control": 0.2,
    "conference_all": 2.0,
    "conference_volume": 0.2,
    "conference_coach": 0.2,
    "conference_member": 2.0,
    "recording": 2.0,
    "recording_control": 0.2,
    "webhook_test": 2.0,
}
MAX_NAMED = 100  # members for whom a command to all has failed
MAX_COACHES = 10  # in a room
SESSION_COOLDOWN = 2.0

# By code: the status, and what the service says.
ERRORS: dict[str, tuple[int, str]] = {
    "invalid": (400, "Invalid request"),
    "unauthenticated": (401, "Missing or invalid X-App-ID or X-API-Key"),
    "no_such_path": (404, "There is no such path. /docs lists those there are."),
    "room_not_found": (404, "Conference room not found"),
    "session_not_found": (404, "Session not found"),
    "not_in_room": (404, "Session is not in a conference"),
    "webhook_not_found": (404, "Webhook not found. None has this id, or it is not kept any longer."),
    "name_taken": (409, "Conference name already taken for this application"),
    "in_other_room": (409, "Session is already in a different conference room. Use conference/leave first."),
    "transferring": (409, "Session is being transferred. Wait for session.transferred or session.transfer_failed."),
    "transferred": (409, "Session was transferred. It joins no room, is played nothing, and is not transferred again."),
    "still_dialing": (409, "The call has not been answered. Wait for session.answered."),
    "still_joining": (409, "Session is still joining the conference. Wait for conference.member.joined."),
    "room_locked": (409, "Conference room is locked. Unlock it first."),
    "room_full": (
        409,
        "Conference room is full: it has max_members sessions. Raise max_members, or wait until one has left.",
    ),
    "leaving": (409, "Session is leaving the conference. Wait for conference.member.left."),
    "command_uid_taken": (409, "command_uid was used for another command within the last minute. Use a new one."),
    "idempotency_key_reused": (
        422,
        "Idempotency-Key was used for another request within the last 24 hours. Use a new one.",
    ),
    "dtmf_pending": (409, "Digits are on their way to the media node. Wait for session.dtmf.sent."),
    "volume_pending": (
        409,
        "This volume of the member is being set already. Wait for conference.member.volume_changed.",
    ),
    "coached_not_member": (
        409,
        "session_id is no other member of the session's conference room. Wait until it has joined.",
    ),
    "coached_on_other_node": (
        409,
        "The member to coach is on another media node. Both calls have to be on the same one.",
    ),
    "coach_pending": (
        409,
        "The media node has not confirmed yet whom the member coaches. Wait for conference.member.coaching or"
        " conference.member.uncoached.",
    ),
    "already_coaching": (409, "Member already coaches this one."),
    "too_many_coaches": (409, "Ten members of the room coach already. Have one of them uncoach first."),
    "not_coaching": (409, "Member coaches nobody."),
    "members_pending": (
        409,
        "Another command to all members is being carried out. Wait for conference.command.finished.",
    ),
    "already_playing": (
        409,
        "Something is played to the session. Use stop first, or wait for session.play.finished.",
    ),
    "on_hold": (409, "The member is on hold, or is being put on hold. Use conference/unhold first."),
    "recording_not_found": (404, "Recording not found. None has this id, or it is not kept any longer."),
    "recording_not_available": (
        409,
        "The recording has no file yet. Wait for its webhook that ends in recording.available.",
    ),
    "recording_gone": (
        410,
        "The recording has no file: it was put to your upload_url, its time is over, or nothing was recorded.",
    ),
    "no_such_range": (416, "The file has no such range of bytes. Content-Range says how many it has."),
    "already_recording": (409, "It is being recorded already. detail.recording_id says by which recording."),
    "room_empty": (
        409,
        "Nobody is in the conference room. With its option record it is recorded from the first member on.",
    ),
    "recording_starting": (409, "The recording has not begun. Wait for its webhook that ends in recording.started."),
    "recording_pending": (409, "The recording is being paused or resumed already. A webhook follows when it is."),
    "recording_over": (409, "The recording has ended."),
    "already_paused": (409, "The recording is paused already."),
    "not_paused": (409, "The recording is not paused."),
    "nothing_playing": (409, "Nothing is playing in the conference room. Use play first."),
    "rate_limited": (429, "Rate limit exceeded. Wait for retry_after_ms, then try again."),
    "node_down": (503, "The media node is not reachable. Try again in a few seconds."),
    "not_ready": (503, "Not ready: the store must answer, and at least one media node be up"),
    "no_node": (503, "No media node is available. Try again in a few seconds."),
}


@dataclass(frozen=True)
class _Change:
    """A command that changes a member's flag."""

    flag: str
    on: bool
    done: str

    @property
    def group(self) -> str:
        return {"muted": "conference_mute"}.get(self.flag, f"conference_{self.flag}")


CHANGES = {
    "mute": _Change("muted", True, "muted"),
    "unmute": _Change("muted", False, "unmuted"),
    "deaf": _Change("deaf", True, "deafened"),
    "undeaf": _Change("deaf", False, "undeafened"),
    "hold": _Change("hold", True, "held"),
    "unhold": _Change("hold", False, "unheld"),
}
FLAGS = ("muted", "deaf", "hold")
LEVELS = {"volume_in": 0, "volume_out": 0}
# What is shown unless the app says otherwise.
FIRST_CALLER_ID = "+493098765432"
SESSION_STATES = ("dialing", "parked", "joining", "joined", "leaving", "transferring", "transferred")
RECORDING_STATES = (
    *("starting", "recording", "paused", "stopping", "storing", "uploading", "available", "expired", "failed"),
)
KEEP_SECONDS = 72 * 3600  # for which a recording can be fetched
# A second of silence: 16-bit samples, 8,000 of them.
RECORDED = (
    b"RIFF"
    + struct.pack("<I4s4sIHHIIHH4sI", 36 + 16_000, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16_000, 2, 16, b"data", 16_000)
    + bytes(16_000)
)
HANGUP_CAUSES = {"normal": "NORMAL_CLEARING", "busy": "USER_BUSY", "rejected": "CALL_REJECTED"}
PAUSES = {"w": 0.5, "W": 1.0}
_ALREADY = {"deafened": "already deaf", "undeafened": "not deaf", "held": "already on hold", "unheld": "not on hold"}
for _command, _change in CHANGES.items():
    ERRORS[f"already_{_change.done}"] = 409, f"Member is {_ALREADY.get(_change.done, f'already {_change.done}')}"
    _text = f"Member is already being {_change.done}. A webhook follows when the media node confirms it."
    ERRORS[f"{_command}_pending"] = 409, _text


# The forms of requests


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


_Level = Annotated[int, Field(ge=-4, le=4)]
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_RoomId = Annotated[str, Field(pattern=f"^[A-Za-z0-9]{{5}}-room-{_UUID}$")]
_Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$")]
_Url = Annotated[str, Field(pattern="^(?i:https?)://[^/?#@]+([/?#].*)?$", max_length=2048)]
_Beep = Annotated[str, Field(pattern="^(tone|(?i:https?)://[^/?#@]+([/?#].*)?)$", max_length=2048)]
_Role = Annotated[str, Field(pattern="^(participant|moderator)$")]
_Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=16)]
_PhoneNumber = Annotated[str, Field(pattern=r"^\+?[0-9]{2,15}$")]
# Whether a URI is of the very form that the service takes is for the service.
_Destination = Annotated[
    str, Field(pattern=r"^(\+?[0-9]{2,15}|sip:[A-Za-z0-9.+_-]{1,64}@[a-z0-9.-]+(:[1-9][0-9]*)?)$", max_length=200)
]
_Number = Annotated[str, Field(pattern="^[1-9][0-9]*$")]


class _Room(_Form):
    room_id: _RoomId


class _Options(_Form):
    max_members: Annotated[int, Field(ge=1, le=100_000)] | None = None
    locked: bool = False
    end_when_empty: Annotated[int, Field(ge=1, le=2_592_000)] | None = None
    max_duration: Annotated[int, Field(ge=1, le=2_592_000)] | None = None
    tags: _Tags = []
    end_on_exit: _Role | None = None
    wait_for_moderator: bool = False
    hold_music: _Url | None = None
    beep_enter: _Beep | None = None
    beep_exit: _Beep | None = None
    record: bool = False
    speaker_events: bool = False


class _NewRoom(_Options):
    name: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class _Play(_Form):
    urls: Annotated[list[_Url], Field(min_length=1, max_length=128)]


class _Volume(_Form):
    volume: Annotated[int, Field(ge=-50, le=7)]


class _Command(_Form):
    command_uid: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class _PlayTo(_Command, _Play):
    pass


class _HangUp(_Command):
    cause: Annotated[str, Field(pattern=f"^({'|'.join(HANGUP_CAUSES)})$")] = "normal"


class _Dtmf(_Command):
    digits: Annotated[str, Field(pattern="^[wW]*[0-9A-D*#][0-9A-D*#wW]*$", max_length=32)]
    duration: Annotated[int, Field(ge=60, le=2000)] = 250


class _Collect(_Command):
    max_digits: Annotated[int, Field(ge=1, le=32)] = 32
    terminators: Annotated[str, Field(pattern="^[0-9A-D*#]{0,16}$")] = "#"
    timeout: Annotated[int, Field(ge=1, le=600)] = 10
    digit_timeout: Annotated[int, Field(ge=1, le=60)] = 5


class _Record(_Command):
    upload_url: Annotated[str, Field(pattern="^(?i:https?)://[^/?#@]+([/?#].*)?$", max_length=8192)] | None = None


class _RecordSession(_Record):
    channels: Annotated[int, Field(ge=1, le=2)] = 1


class _JoinOptions(_Command):
    muted: bool = True
    deaf: bool = False
    volume_in: _Level = 0
    volume_out: _Level = 0
    role: _Role = "participant"
    tags: _Tags = []
    end_on_exit: bool = False


class _Hold(_Command):
    url: _Url | None = None


class _MemberChanges(_Command):
    muted: bool = False
    deaf: bool = False
    hold: bool = False
    volume_in: _Level = 0
    volume_out: _Level = 0
    role: _Role = "participant"
    tags: _Tags = []


class _MemberVolume(_Command):
    direction: Annotated[str, Field(pattern="^(in|out)$")]
    volume: _Level


class _Coach(_Command):
    session_id: Annotated[str, Field(min_length=1, max_length=128)]


class _Join(_JoinOptions):
    room_id: _RoomId


class _Dial(_JoinOptions):
    to: _Destination
    caller_id: Annotated[_PhoneNumber, Field(alias="from")]
    room_id: _RoomId | None = None
    timeout: Annotated[int, Field(ge=5, le=120)] = 60

    @model_validator(mode="after")
    def _joins_as_something(self) -> _Dial:
        if self.room_id is None and self.model_fields_set & (_JoinOptions.model_fields.keys() - {"command_uid"}):
            raise ValueError("needs a room_id")
        return self


class _Transfer(_Command):
    to: _Destination
    caller_id: Annotated[_PhoneNumber | None, Field(alias="from")] = None
    timeout: Annotated[int, Field(ge=5, le=120)] = 60


class _Kick(_Command):
    reason: Annotated[str, Field(min_length=1, max_length=128)] | None = None


class _BatchRequest(_Form):
    method: Annotated[str, Field(pattern="^(POST|PATCH|DELETE)$")] = "POST"
    path: Annotated[str, Field(pattern=f"^{API}/[A-Za-z0-9/_-]+$", max_length=256)]
    body: dict[str, Any] | None = None


class _Batch(_Form):
    requests: Annotated[list[_BatchRequest], Field(min_length=1, max_length=100)]


class _Endpoint(_Form):
    url: _Url
    types: Annotated[list[str], Field(min_length=1, max_length=32)] = ["*"]


class _Test(_Form):
    type: Annotated[str, Field(pattern=f"^({'|'.join(map(re.escape, webhooks.DATA))})$")] = "webhook.test"


class _PortalLink(_Form):
    role: Annotated[str, Field(pattern="^(view|operate)$")] = "operate"
    expires_in: Annotated[int, Field(ge=60, le=7 * 86_400)] = 3600


class _Range(_Form):
    since: _Moment
    until: _Moment


class _AllBody(_Form):
    exclude: Annotated[list[str], Field(max_length=100)] = []
    exclude_moderators: bool = False


class _KickAllBody(_AllBody):
    reason: Annotated[str, Field(min_length=1, max_length=128)] | None = None


class _Page(_Form):
    limit: _Number = "50"
    cursor: Annotated[str, Field(pattern="^-?[0-9]*$")] = ""


class _RoomPage(_Page):
    name: str | None = None
    tag: str | None = None


class _SessionPage(_Page):
    state: Annotated[str, Field(pattern=f"^({'|'.join(SESSION_STATES)})$")] | None = None
    room_id: _RoomId | None = None
    did: str | None = None


class _RecordingPage(_Page):
    state: Annotated[str, Field(pattern=f"^({'|'.join(RECORDING_STATES)})$")] | None = None
    room_id: _RoomId | None = None
    uuid: str | None = None


class _DeliveryPage(_Page):
    status: Annotated[str, Field(pattern="^(retrying|delivered|failed)$")] | None = None
    type: str | None = None
    room_id: _RoomId | None = None
    since: _Moment | None = None
    until: _Moment | None = None


# What there is


@dataclass
class _StoredSession:
    order: int
    uuid: str
    node: str
    did: str
    caller_id: str
    started_at: float
    state: str = "parked"
    direction: str = "inbound"
    # What it is dialled for.
    dialled: _Dial | None = None
    room_id: str = ""
    # While it is a member; later members have greater ones.
    member_id: int | None = None
    # Of the join or leave that is not confirmed.
    command_uid: str | None = None
    flags: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(FLAGS, False))
    levels: dict[str, int] = field(default_factory=LEVELS.copy)
    role: str = "participant"
    tags: list[str] = field(default_factory=list)
    end_on_exit: bool = False
    waiting: bool = False
    coaching: str | None = None
    speaking: bool = False
    joined_at: float | None = None
    # Whether it is to be hung up, and the command_uid of that.
    hanging_up: bool = False
    hang_up_uid: str | None = None
    # Whether digits are to be sent, and the command_uid of that.
    dtmf: bool = False
    dtmf_uid: str | None = None
    # What is collected of its digits, and how, while that goes on.
    collected: str = ""
    collecting: _Collect | None = None
    # What is played to it, with its URLs and the command_uid.
    play: tuple[str, list[str], str | None] | None = None
    # Of a call that is not answered, its command_uid.
    dial_uid: str | None = None
    # Of a call that is transferred: the number, that which is shown, and until it has answered the command_uid.
    transfer: dict[str, str | None] | None = None
    # Commands to change it that are not confirmed, with their command_uid.
    pending: dict[str, str | None] = field(default_factory=dict)


@dataclass
class _All:
    """A command to all members of a room. `waiting`: those without an outcome."""

    operation: str
    command: str
    waiting: set[str] = field(default_factory=set)
    changed: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)


@dataclass
class _StoredRoom:
    order: int
    id: str
    name: str
    created_at: float
    empty_since: float
    volume: int = 0
    paused: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    started_at: float | None = None
    peak_members: int = 0
    # Whether a moderator has come.
    begun: bool = False
    # Whether the app has stopped what is recorded by itself.
    record_stopped: bool = False
    floor: str = ""
    # Operation and URLs, the first one plays.
    plays: list[tuple[str, list[str]]] = field(default_factory=list)


@dataclass
class _StoredRecording:
    order: int
    id: str
    # What is recorded: a room, or a session with its numbers.
    about: dict[str, str]
    channels: int
    upload_url: str | None
    created_at: float
    command_uid: str | None = None
    state: str = "starting"
    started_at: float | None = None
    ended_at: float | None = None
    reason: str | None = None
    file: bytes | None = None
    size: int | None = None
    uploaded: bool = False
    attempts: int | None = None
    http_status: int | None = None
    expires_at: float | None = None
    # Whether it is being paused or resumed, or stopped, and the command_uid of a stop.
    changing: bool = False
    stop_uid: str | None = None

    @property
    def goes_on(self) -> bool:
        return self.state in ("starting", "recording", "paused")


@dataclass
class _Delivered:
    order: int
    webhook: Webhook
    raw: bytes
    status: str
    attempts: list[dict[str, Any]] = field(default_factory=list)


class _Refused(Exception):
    def __init__(self, code: str, detail: dict[str, Any] | None = None, text: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.text = text or ERRORS[code][1]


# A response: its status, and its body.
_Returned = tuple[int, dict[str, Any]]


class FakeSwitchroom:
    """See above. `webhooks` holds all that were sent. `receiver` gets each as it comes over HTTP, its headers and its
    body, signed with `secret`; it returns the status to respond with, None for 204. `node_up` may be set to False: what
    needs the media node is then refused.
    """

    def __init__(
        self,
        *,
        app_id: str = "demo",
        api_key: str = "the-key-of-the-fake",
        secret: str = SECRET,
        prefix: str = "fake1",
        receiver: Callable[[dict[str, str], bytes], int | None] | None = None,
    ) -> None:
        self.app_id = app_id
        self.api_key = api_key
        self.secret = secret
        self.prefix = prefix
        self.receiver = receiver
        self.webhooks: list[Webhook] = []
        self.confirms = True
        # By number, why a call to it is not answered: the `cause` of `session.failed` or `session.transfer_failed`.
        self.unanswered: dict[str, str] = {}
        # What is in the file of each recording, and what was put to each URL; by URL, with which status one refuses it.
        self.recorded = RECORDED
        self.uploads: dict[str, bytes] = {}
        self.refused_uploads: dict[str, int] = {}
        self.node_up = True
        self.now = time.time()
        self._numbers = count(1)
        self._rooms: dict[str, _StoredRoom] = {}
        self._sessions: dict[str, _StoredSession] = {}
        self._recordings: dict[str, _StoredRecording] = {}
        self._sequences: dict[str, int] = {}
        self._cooldowns: dict[tuple[str, str], float] = {}
        # By room.
        self._all: dict[str, _All] = {}
        # By command_uid: until when it names a command, which, and the response.
        self._answers: dict[str, tuple[float, tuple[str, ...], _Returned]] = {}
        # By idempotency key: until when it stands for a request, which, and the response.
        self._kept: dict[str, tuple[float, tuple[str, bytes | None], Response]] = {}
        # What the node has to confirm: what follows if it does, and if it refuses.
        self._waiting: list[tuple[Callable[[], None], Callable[[str], None]]] = []
        self._deliveries: dict[str, _Delivered] = {}
        self._endpoint: dict[str, Any] = {"url": "https://app.example.com/hooks", "types": ["*"]}
        self._old_secret_until: float | None = None

    # For tests

    def client(self, **options: Any) -> Client:
        """A client of it; `options` as those of `Client`. When it waits, only the time of the fake passes."""
        return Client(
            "http://fake", app_id=self.app_id, api_key=self.api_key, transport=self, sleep=self.advance, **options
        )

    def types(self) -> list[str]:
        """Of the webhooks that were sent, in their order."""
        return [webhook.type for webhook in self.webhooks]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for room in list(self._rooms.values()):
            if reason := self._is_over(room):
                self._end_room(room, reason)
        self._confirm_at_once()

    def call(self, *, did: str = "747713001", caller_id: str = "527121102") -> str:
        """A call comes in. Returns its session's id."""
        number = next(self._numbers)
        session = _StoredSession(number, f"{self.prefix}-{uuid.uuid4()}", self.prefix, did, caller_id, self.now)
        self._sessions[session.uuid] = session
        self._emit_session(session, "session.started", direction=session.direction, state="parked")
        return session.uuid

    def hang_up(self, uuid: str, cause: str = "NORMAL_CLEARING") -> None:
        session = self._sessions[uuid]
        if session.state == "dialing":
            return self._fail(session, "cancelled", cause)
        self._take_out(session, "hangup", cause)
        self._interrupt_play(session)
        if session.collecting:
            self._end_collection(session, session.collecting, "hangup")
        self._dtmf_failed(session, "hangup")
        if session.state == "transferring":
            self._transfer_failed(session, "cancelled")
        self._end_recordings("hangup", uuid=uuid)
        del self._sessions[uuid]
        duration = int(self.now - session.started_at)
        told = {"direction": session.direction, "cause": cause, "duration": duration}
        self._emit_session(session, "session.ended", **told, command_uid=session.hang_up_uid)
        self._confirm_at_once()
        return None

    def speak(self, uuid: str, speaking: bool = True) -> None:
        """A member begins to speak, or stops. Told of rooms with `speaker_events`."""
        session = self._sessions[uuid]
        room = self._rooms[session.room_id]
        if not room.options["speaker_events"]:
            return
        session.speaking = speaking
        members = self._members(room.id)
        holder = next((one for one in members if one.uuid == room.floor and one.speaking), None)
        if speaking and not holder and room.floor != uuid:
            room.floor = uuid
            self._emit_member(session, "conference.speaker.changed")

    def press(self, uuid: str, digit: str, *, duration_ms: int = 160) -> None:
        """A caller presses a key."""
        session = self._sessions[uuid]
        room = session.room_id if session.state == "joined" else None
        if "session.dtmf" in self._endpoint["types"]:
            self._emit_session(session, "session.dtmf", digit=digit, duration_ms=duration_ms, in_room=room)
        wanted = session.collecting
        if wanted and digit in wanted.terminators:
            self._end_collection(session, wanted, "terminator", digit)
        elif wanted:
            session.collected += digit
            if len(session.collected) == wanted.max_digits:
                self._end_collection(session, wanted, "max_digits")

    def press_nothing(self, uuid: str) -> None:
        """The digit for which a collection waits does not come in time."""
        session = self._sessions[uuid]
        if session.collecting:
            self._end_collection(session, session.collecting, "timeout")

    def finish_play(self, room_id: str, **failed: str) -> None:
        """What plays in a room has come to its end. `failed`: the reason for each URL that was not played, as
        `**{"https://cdn.example.com/a.wav": "not_found"}`.
        """
        room = self._rooms[room_id]
        operation, urls = room.plays.pop(0)
        room.paused = room.paused and bool(room.plays)
        self._emit_finished(room, operation, urls, failed)

    def finish_session_play(self, uuid: str, **failed: str) -> None:
        """The same of what is played to a session alone."""
        self._end_play(self._sessions[uuid], failed)

    def confirm(self) -> None:
        """The node confirms all that waits for it."""
        while self._waiting:
            confirmed, _ = self._waiting.pop(0)
            confirmed()

    def refuse(self, reason: str = "refused") -> None:
        """The node carries out nothing of what waits for it."""
        while self._waiting:
            _, failed = self._waiting.pop(0)
            failed(reason)

    # As a transport

    def close(self) -> None:
        """It has nothing to close."""

    def send(self, request: Request) -> Response:
        headers = _lower(request.headers)
        key = headers.get("idempotency-key", "") if request.method == "POST" and self._lets_in(headers) else ""
        asked = request.target, request.body
        until, first, response = self._kept.get(key, (0.0, ("", None), Response(0)))
        if until > self.now:
            if first != asked:
                return _refusal(_Refused("idempotency_key_reused"))
            return replace(response, headers={**response.headers, "idempotent-replayed": "true"})
        response = self._send(request)
        if key and response.status < 300:
            self._kept[key] = self.now + KEPT_SECONDS, asked, response
        return response

    def _send(self, request: Request) -> Response:
        try:
            status, body = self._handle(request)
        except _Refused as refused:
            return _refusal(refused)
        self._confirm_at_once()
        return _response(status, body, {})

    def _confirm_at_once(self) -> None:
        if self.confirms:
            self.confirm()

    def _batch(self, body: _Batch) -> _Returned:
        for number, each in enumerate(body.requests):
            path = each.path.removeprefix(API)
            if not any(
                method == each.method and re.fullmatch(pattern, path) and pattern.startswith(("/conf", "/sess", "/rec"))
                for method, pattern, _, _ in ROUTES
            ):
                fields = [{"field": f"requests.{number}.path", "problem": "is no command"}]
                raise _Refused("invalid", {"fields": fields}, "Invalid request: a path is no command")
        return 200, {"results": [self._part(each) for each in body.requests]}

    def _part(self, each: _BatchRequest) -> dict[str, Any]:
        """What became of a command of a batch."""
        text = None if each.body is None else json.dumps(each.body).encode()
        key = {"x-app-id": self.app_id, "x-api-key": self.api_key}
        found = self._send(Request(each.method, each.path, key, text, 0.0))
        return {
            "status": found.status,
            "code": found.headers.get("x-error-code", ""),
            "body": json.loads(found.body),
        }

    def stream(self, request: Request) -> Stream:
        """Of the files of recordings; it has no others."""
        try:
            response = self._content(request)
        except _Refused as refused:
            response = _refusal(refused)
        return Stream(response, iter([response.body]), lambda: None)

    def _handle(self, request: Request) -> _Returned:
        parts = urlsplit(request.target)
        if not parts.path.startswith(API + "/"):
            return self._health(parts.path)
        if not self._lets_in(_lower(request.headers)):
            raise _Refused("unauthenticated")
        path = parts.path.removeprefix(API)
        for method, pattern, view, forms in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                given = [unquote(part) for part in found.groups()]
                if pattern.startswith(_ROOM):
                    _checked(_Room, {"room_id": given[0]})
                query = _checked(forms.get("query", _Form), dict(parse_qsl(parts.query, keep_blank_values=True)))
                body = _checked(forms.get("body", _Form), _json(request.body))
                return view(self, *given, *([query] if "query" in forms else []), *([body] if "body" in forms else []))
        raise _Refused("no_such_path")

    def _lets_in(self, headers: Mapping[str, str]) -> bool:
        return (headers.get("x-app-id"), headers.get("x-api-key")) == (self.app_id, self.api_key)

    def _health(self, path: str) -> _Returned:
        nodes = {self.prefix: self.node_up}
        if path == "/healthz":
            return 200, {"status": "ok"}
        if path != "/readyz":
            raise _Refused("no_such_path")
        if not self.node_up:
            raise _Refused("not_ready", {"store": True, "nodes": nodes})
        return 200, {"status": "ready", "store": True, "nodes": nodes}

    # Rooms

    def _create_room(self, body: _NewRoom) -> _Returned:
        taken = next((room for room in self._rooms.values() if room.name == body.name), None)
        if taken:
            raise _Refused("name_taken", {"room_id": taken.id})
        if not self.node_up:
            raise _Refused("no_node")
        room = _StoredRoom(next(self._numbers), f"{self.prefix}-room-{uuid.uuid4()}", body.name, self.now, self.now)
        room.options = body.model_dump(exclude={"name"})
        self._rooms[room.id] = room
        self._emit_room(room.id, "conference.created", name=room.name)
        return 201, {"room_id": room.id}

    def _list_rooms(self, query: _RoomPage) -> _Returned:
        rooms = [
            room
            for room in self._rooms.values()
            if query.name in (None, room.name) and query.tag in (None, *room.options["tags"])
        ]
        rows = [
            (
                room.order,
                {
                    "room_id": room.id,
                    "name": room.name,
                    "members": len(self._members(room.id)),
                    "created_at": _iso(int(room.created_at)),
                    "tags": room.options["tags"],
                    "recording": self._running(room_id=room.id),
                },
            )
            for room in rooms
        ]
        return _page("conferences", rows, query)

    def _get_room(self, room_id: str) -> _Returned:
        room = self._room(room_id)
        operation, urls = room.plays[0] if room.plays else ("", [])
        members = len(self._members(room.id))
        return 200, {
            "room_id": room.id,
            "name": room.name,
            "created_at": str(int(room.created_at)),
            "started_at": room.started_at and str(int(room.started_at)),
            "duration": self._duration(room),
            "members": members,
            "peak_members": room.peak_members,
            "begun": not _waits(room),
            "recording": self._running(room_id=room.id),
            **room.options,
            "nodes": [{"prefix": self.prefix, "members": members, "bridge": "source"}],
            "playback_status": ("paused" if room.paused else "playing") if room.plays else "stopped",
            "playback_volume": room.volume,
            "playback_urls": urls,
            "playback_operation_id": operation,
            "playback_queue": [{"operation_id": waiting, "urls": its_urls} for waiting, its_urls in room.plays[1:]],
            "playing": _playing(operation, urls) if operation else None,
        }

    def _change_room(self, room_id: str, body: _Options) -> _Returned:
        room, given = self._room(room_id), body.model_dump(exclude_unset=True)
        changed = {**room.options, **given}
        if changed != room.options:
            room.record_stopped = room.record_stopped and changed["record"] == room.options["record"]
            room.options = changed
            self._emit_room(room.id, "conference.updated", name=room.name, **changed)
            self._let_in(room)
            self._record_by_itself(room)
        return 200, {"room_id": room.id, **changed}

    def _duration(self, room: _StoredRoom) -> int:
        return 0 if room.started_at is None else int(self.now - room.started_at)

    def _list_members(self, room_id: str, query: _Page) -> _Returned:
        self._room(room_id)
        rows = [(member.member_id or 0, self._shown_as_member(member)) for member in self._members(room_id)]
        status, body = _page("members", rows, query)
        return status, {"room_id": room_id, **body}

    def _shown_as_member(self, session: _StoredSession) -> dict[str, Any]:
        return {
            "uuid": session.uuid,
            "node": session.node,
            "did": session.did,
            "caller_id": session.caller_id,
            **session.flags,
            **session.levels,
            "role": session.role,
            "tags": session.tags,
            "end_on_exit": session.end_on_exit,
            "recording": self._running(uuid=session.uuid),
            "waiting": session.waiting,
            "coaching": session.coaching,
            "speaking": session.speaking,
            "joined_at": None if session.joined_at is None else _iso(int(session.joined_at)),
        }

    def _shown(self, session: _StoredSession) -> dict[str, Any]:
        ahead = session.dialled.model_dump() if session.state == "dialing" and session.dialled else {}
        options = [name for name in _JoinOptions.model_fields if name != "command_uid" and ahead.get("room_id")]
        return {
            **self._shown_as_member(session),
            **{name: ahead[name] for name in options},
            "direction": session.direction,
            "state": session.state,
            "room_id": ahead.get("room_id") or session.room_id,
            "member_id": session.member_id,
            "transferred_to": (session.transfer or {}).get("to"),
            "started_at": _iso(int(session.started_at)),
        }

    def _delete_room(self, room_id: str) -> _Returned:
        self._end_room(self._room(room_id), "deleted")
        return 200, {"room_id": room_id}

    def _is_over(self, room: _StoredRoom) -> str:
        """Why a room ends by itself now, empty if it does not."""
        never = math.inf
        is_empty = not any(one.room_id == room.id for one in self._sessions.values())
        empty, most = room.options["end_when_empty"], room.options["max_duration"]
        ends = {
            "max_duration": never if most is None or room.started_at is None else room.started_at + most,
            "empty": room.empty_since + empty if is_empty and empty is not None else never,
        }
        reason = min(ends, key=ends.__getitem__)
        return reason if ends[reason] <= self.now else ""

    def _end_room(self, room: _StoredRoom, reason: str) -> None:
        del self._rooms[room.id]
        self._emit_room(
            room.id,
            "conference.destroyed",
            name=room.name,
            reason=reason,
            duration=self._duration(room),
            peak_members=room.peak_members,
        )
        self._interrupt(room)
        self._end_recordings("room_destroyed", room_id=room.id)
        for session in [session for session in self._sessions.values() if session.room_id == room.id]:
            self._wait(lambda session=session: self._take_out(session, "room_destroyed"))  # type: ignore[misc]

    def _play(self, room_id: str, body: _Play) -> _Returned:
        room = self._room_now(room_id, "conf_play")
        operation = str(uuid.uuid4())
        room.plays.append((operation, body.urls))
        self._emit_room(room.id, "conference.play.started", operation_id=operation, urls=body.urls)
        if not self._members(room.id):
            self.finish_play(room.id, **dict.fromkeys(body.urls, "no_members"))
        return 202, {"operation_id": operation, "status": "in_progress"}

    def _pause(self, room_id: str) -> _Returned:
        room = self._room_now(room_id, "conference_control", playing=True)
        operation, _ = room.plays[0]
        room.paused = not room.paused
        self._emit_room(room.id, "conference.play.paused", operation_id=operation, paused=room.paused)
        return 202, {"operation_id": operation, "status": "paused" if room.paused else "resumed"}

    def _stop(self, room_id: str) -> _Returned:
        room = self._room_now(room_id, "conference_control")
        stopped = [operation for operation, _ in room.plays] or [""]
        room.plays, room.paused = [], False
        for operation in stopped:
            self._emit_room(room.id, "conference.play.stopped", operation_id=operation)
        return 202, {"operation_id": stopped[0], "status": "stopped"}

    def _set_volume(self, room_id: str, body: _Volume) -> _Returned:
        room = self._room_now(room_id, "conference_control")
        room.volume = body.volume
        operation = room.plays[0][0] if room.plays else ""
        self._emit_room(room.id, "conference.play.volume_changed", operation_id=operation, volume=body.volume)
        return 202, {"operation_id": operation, "status": "volume_changed"}

    def _room(self, room_id: str) -> _StoredRoom:
        if room_id not in self._rooms:
            raise _Refused("room_not_found")
        return self._rooms[room_id]

    def _room_now(self, room_id: str, group: str, *, playing: bool = False) -> _StoredRoom:
        """The room of a command that is accepted, as far as it depends on its cooldown, the node and what plays."""
        room = self._room(room_id)
        self._check_now(group, room.id)
        if playing and not room.plays:
            raise _Refused("nothing_playing")
        self._cooldowns[group, room.id] = self.now + COOLDOWNS[group]
        return room

    def _members(self, room_id: str) -> list[_StoredSession]:
        inside = [one for one in self._sessions.values() if one.room_id == room_id and one.member_id is not None]
        return sorted(inside, key=lambda member: member.member_id or 0)

    def _interrupt(self, room: _StoredRoom) -> None:
        plays, room.plays, room.paused = room.plays, [], False
        for operation, urls in plays:
            self._emit_finished(room, operation, urls, dict.fromkeys(urls, "interrupted"), "interrupted")

    # Sessions

    def _list_sessions(self, query: _SessionPage) -> _Returned:
        rows = [
            (session.order, self._shown(session))
            for session in self._sessions.values()
            if query.state in (None, session.state)
            and query.room_id in (None, self._shown(session)["room_id"])
            and query.did in (None, session.did)
        ]
        return _page("sessions", rows, query)

    def _get_session(self, uuid: str) -> _Returned:
        session = self._session(uuid)
        return 200, {**self._shown(session), "playing": _playing(*session.play[:2]) if session.play else None}

    def _hang_up(self, uuid: str, body: _HangUp) -> _Returned:
        session, named = self._session(uuid), ("hang_up", uuid, body.cause)
        first = self._first_answer(body.command_uid, named)
        if not first and not session.hanging_up:
            self._check_now("hang_up", uuid)
            self._cooldowns["hang_up", uuid] = self.now + SESSION_COOLDOWN
            session.hanging_up, session.hang_up_uid = True, body.command_uid

            def ended() -> None:
                if uuid in self._sessions:
                    self.hang_up(uuid, HANGUP_CAUSES[body.cause])

            def failed(reason: str) -> None:
                if uuid not in self._sessions:
                    return
                uid, session.hanging_up, session.hang_up_uid = session.hang_up_uid, False, None
                self._emit_session(session, "session.command.failed", command="hang_up", command_uid=uid, reason=reason)

            self._wait(ended, failed)
        return self._keep(body.command_uid, named, (202, {"uuid": uuid, "status": "hanging_up"}))

    def _send_dtmf(self, uuid: str, body: _Dtmf) -> _Returned:
        session, named = self._session(uuid), ("dtmf", uuid, body.digits, str(body.duration))
        if first := self._first_answer(body.command_uid, named):
            return first
        self._check_now("dtmf", uuid)
        if session.state == "dialing":
            raise _Refused("still_dialing")
        if session.dtmf:
            raise _Refused("dtmf_pending")
        lasts = sum(PAUSES.get(digit, body.duration / 1000 + 0.04) for digit in body.digits)
        self._cooldowns["dtmf", uuid] = self.now + max(0.2, lasts)
        session.dtmf, session.dtmf_uid = True, body.command_uid

        def sent() -> None:
            if session.dtmf:
                session.dtmf = False
                self._emit_session(session, "session.dtmf.sent", length=len(body.digits), command_uid=body.command_uid)

        self._wait(sent, lambda reason: self._dtmf_failed(session, reason))
        return self._keep(body.command_uid, named, (202, {"uuid": uuid, "status": "sending"}))

    def _dial(self, body: _Dial) -> _Returned:
        room = self._room(body.room_id) if body.room_id else None
        named = ("dial", body.model_dump_json(exclude={"command_uid"}))
        if first := self._first_answer(body.command_uid, named):
            return first
        self._check_now("dial", body.to)
        if room:
            self._check_open(room)
        self._cooldowns["dial", body.to] = self.now + SESSION_COOLDOWN
        number = next(self._numbers)
        session = _StoredSession(
            number,
            f"{self.prefix}-{uuid.uuid4()}",
            self.prefix,
            body.to,
            body.caller_id,
            self.now,
            "dialing",
            "outbound",
        )
        session.dial_uid, session.dialled = body.command_uid, body
        self._sessions[session.uuid] = session
        self._emit_session(session, "session.dialing", direction=session.direction, command_uid=session.dial_uid)

        def answered() -> None:
            if session.uuid not in self._sessions or session.hanging_up:
                return
            if cause := self.unanswered.get(body.to):
                self._fail(session, cause)
                return
            self._emit_session(session, "session.ringing", command_uid=session.dial_uid)
            session.state, session.started_at = "parked", self.now
            self._emit_session(session, "session.answered", command_uid=session.dial_uid)
            if body.room_id:
                self._join_answered(session, body)

        self._wait(answered, lambda reason: self._fail(session, reason))
        return self._keep(body.command_uid, named, (202, {"uuid": session.uuid, "status": "dialing"}))

    def _transfer(self, uuid: str, body: _Transfer) -> _Returned:
        session, named = self._session(uuid), ("transfer", uuid, body.model_dump_json(exclude={"command_uid"}))
        if first := self._first_answer(body.command_uid, named):
            return first
        self._check_now("dial", body.to)
        states = {"dialing": "still_dialing", "joining": "still_joining"}
        if session.state not in ("parked", "joined"):
            raise _Refused(states.get(session.state, session.state))
        self._cooldowns["dial", body.to] = self.now + SESSION_COOLDOWN
        self._interrupt_play(session)
        was_in, session.state = session.state, "transferring"
        shown = body.caller_id or FIRST_CALLER_ID
        session.transfer = {"to": body.to, "shown_as": shown, "command_uid": body.command_uid}

        def answered() -> None:
            if session.state != "transferring":
                return
            session.command_uid = None
            self._take_out(session, "transferring")
            if cause := self.unanswered.get(body.to):
                self._transfer_failed(session, cause)
                return
            session.state = "transferred"
            self._emit_session(session, "session.transferred", **(session.transfer or {}))

        def failed(reason: str) -> None:
            if session.state == "transferring":
                self._transfer_failed(session, "node_unreachable" if reason == "node_unreachable" else "failed", was_in)

        self._wait(answered, failed)
        return self._keep(body.command_uid, named, (202, {"uuid": uuid, "status": "transferring"}))

    def _transfer_failed(self, session: _StoredSession, cause: str, state: str = "parked") -> None:
        """`state`: the one that it is in then."""
        session.state, told, session.transfer = state, session.transfer or {}, None
        self._emit_session(session, "session.transfer_failed", **told, cause=cause)

    def _collect_digits(self, uuid: str, body: _Collect) -> _Returned:
        session, asked = self._session(uuid), body.model_dump_json(exclude={"command_uid"})
        named = ("collect_digits", uuid, asked)
        if first := self._first_answer(body.command_uid, named):
            return first
        self._check_now("collect_digits", uuid)
        if session.state == "dialing":
            raise _Refused("still_dialing")
        self._cooldowns["collect_digits", uuid] = self.now + 0.2
        if session.collecting:
            self._end_collection(session, session.collecting, "cancelled")
        session.collecting = body
        return self._keep(body.command_uid, named, (202, {"uuid": uuid, "status": "collecting"}))

    def _play_to_session(self, uuid: str, body: _PlayTo) -> _Returned:
        session, named = self._session(uuid), ("play_to_session", uuid, json.dumps(body.urls))
        if first := self._first_answer(body.command_uid, named):
            return first
        self._check_now("session_play", uuid)
        states = {"dialing": "still_dialing", "joining": "still_joining"}
        if session.state not in ("parked", "joined"):
            raise _Refused(states.get(session.state, session.state))
        if session.play:
            raise _Refused("already_playing")
        if session.flags["hold"] or "hold" in session.pending:
            raise _Refused("on_hold")
        self._cooldowns["session_play", uuid] = self.now + 0.2
        operation = _new_operation()
        session.play = operation, body.urls, body.command_uid
        told = {"operation_id": operation, "urls": body.urls, "command_uid": body.command_uid}
        self._emit_session(session, "session.play.started", **told)
        return self._keep(body.command_uid, named, (202, _played(session, operation, "in_progress")))

    def _stop_session_play(self, uuid: str, body: _Command) -> _Returned:
        session, named = self._session(uuid), ("stop_session_play", uuid)
        if first := self._first_answer(body.command_uid, named):
            return first
        self._check_now("session_stop", uuid)
        if session.state == "dialing":
            raise _Refused("still_dialing")
        self._cooldowns["session_stop", uuid] = self.now + 0.2
        operation, session.play = session.play[0] if session.play else "", None
        self._emit_session(session, "session.play.stopped", operation_id=operation, command_uid=body.command_uid)
        return self._keep(body.command_uid, named, (202, _played(session, operation, "stopped")))

    def _interrupt_play(self, session: _StoredSession) -> None:
        if session.play:
            self._end_play(session, dict.fromkeys(session.play[1], "interrupted"), "interrupted")

    def _end_play(self, session: _StoredSession, failed: Mapping[str, str], status: str = "") -> None:
        if session.play:
            (operation, urls, uid), session.play = session.play, None
            told = _ended(operation, urls, failed, status)
            self._emit_session(session, "session.play.finished", **told, command_uid=uid)

    def _end_collection(
        self, session: _StoredSession, asked: _Collect, reason: str, terminator: str | None = None
    ) -> None:
        digits, session.collected, session.collecting = session.collected, "", None
        told = {"digits": digits, "reason": reason, "terminator": terminator, "command_uid": asked.command_uid}
        self._emit_session(session, "session.digits.collected", **told)

    def _dtmf_failed(self, session: _StoredSession, reason: str) -> None:
        if session.dtmf:
            uid, session.dtmf = session.dtmf_uid, False
            self._emit_session(session, "session.command.failed", command="dtmf", command_uid=uid, reason=reason)

    def _join_answered(self, session: _StoredSession, body: _Dial) -> None:
        try:
            room = self._room(str(body.room_id))
            self._check_open(room)
        except _Refused as refused:
            told = {"command_uid": session.dial_uid, "reason": refused.code}
            self._emit_session(session, "session.command.failed", command="join", **told)
        else:
            self._begin_join(session, room, body, session.dial_uid)

    def _fail(self, session: _StoredSession, cause: str, hangup_cause: str | None = None) -> None:
        """Whoever was called has not answered."""
        if session.uuid in self._sessions:
            del self._sessions[session.uuid]
            told = {"cause": cause, "hangup_cause": hangup_cause, "command_uid": session.dial_uid}
            self._emit_session(session, "session.failed", **told, cancelled_by=session.hang_up_uid)

    def _check_open(self, room: _StoredRoom) -> None:
        if room.options["locked"]:
            raise _Refused("room_locked")
        present = sum(one.room_id == room.id for one in self._sessions.values())
        most = room.options["max_members"]
        if most is not None and present >= most:
            raise _Refused("room_full", {"limit": most, "used": present})

    def _join(self, uuid: str, body: _Join) -> _Returned:
        session, room = self._session(uuid), self._room(body.room_id)
        asked = body.model_dump_json(exclude={"command_uid", "room_id"}, exclude_defaults=True)
        named = ("join", uuid, room.id, asked)
        if first := self._first_answer(body.command_uid, named):
            return first
        if session.room_id == room.id and session.state in ("joining", "joined"):
            status, word = (200, "already_joined") if session.state == "joined" else (202, "joining")
            return self._accept(body.command_uid, named, status, word, room.id)
        self._check_now("conference", uuid)
        if session.room_id and session.room_id != room.id:
            raise _Refused("in_other_room", {"room_id": session.room_id})
        if session.state in ("transferring", "transferred"):
            raise _Refused(session.state)
        if session.room_id:
            raise _Refused("leaving")
        if session.state == "dialing":
            raise _Refused("still_dialing")
        self._check_open(room)
        self._cooldowns["conference", uuid] = self.now + SESSION_COOLDOWN
        self._begin_join(session, room, body, body.command_uid)
        return self._accept(body.command_uid, named, 202, "joining", room.id)

    def _begin_join(
        self, session: _StoredSession, room: _StoredRoom, body: _JoinOptions, command_uid: str | None
    ) -> None:
        self._interrupt_play(session)
        session.state, session.room_id, session.command_uid = "joining", room.id, command_uid
        session.flags = dict.fromkeys(FLAGS, False) | {"muted": body.muted, "deaf": body.deaf}
        session.role, session.tags, session.end_on_exit = body.role, body.tags, body.end_on_exit

        def joined() -> None:
            if session.state == "joining":
                session.state, session.member_id, session.joined_at = "joined", next(self._numbers), self.now
                room.started_at = self.now if room.started_at is None else room.started_at
                room.peak_members = max(room.peak_members, len(self._members(room.id)))
                session.waiting = _waits(room) and session.role != "moderator"
                self._emit_member(session, "conference.member.joined", command_uid=command_uid)
                for name in LEVELS:
                    if value := getattr(body, name):
                        self._change_level(session, name, value, command_uid)
                if session.waiting:
                    self._change_flag(session, "hold", None)
                elif session.role == "moderator":
                    self._moderator_came(room)
                room.record_stopped = room.record_stopped and len(self._members(room.id)) > 1
                self._record_by_itself(room)

        self._wait(joined, lambda reason: self._take_out(session, reason))

    def _record_by_itself(self, room: _StoredRoom) -> None:
        is_wanted = room.options["record"] and not room.record_stopped and self._members(room.id)
        if is_wanted and not self._recorded(room_id=room.id):
            self._begin_recording({"room_id": room.id}, (), _Record())

    def _moderator_came(self, room: _StoredRoom) -> None:
        room.begun = True
        self._let_in(room)

    def _let_in(self, room: _StoredRoom) -> None:
        """Lets those in who wait, unless they still have to. One that is about to be on hold follows then."""
        for session in self._members(room.id):
            if not session.waiting or _waits(room) or session.pending.keys() & {"hold", "unhold"}:
                continue
            if session.flags["hold"]:
                self._change_flag(session, "unhold", None)
            else:
                session.waiting = False

    def _leave(self, uuid: str, body: _Command) -> _Returned:
        return self._let_go(uuid, body, "leave", "left")

    def _kick(self, uuid: str, body: _Kick) -> _Returned:
        return self._let_go(uuid, body, "kick", "kicked", kicked_by="app", kick_reason=body.reason)

    def _let_go(self, uuid: str, body: _Command, command: str, reason: str, **why: str | None) -> _Returned:
        named = (command, uuid, why.get("kick_reason") or "")
        session, first = self._member(uuid, body, named, "conference")
        if first:
            return first
        self._cooldowns["conference", uuid] = self.now + SESSION_COOLDOWN
        self._send_out(session, command, body.command_uid, reason, **why)
        return self._accept(body.command_uid, named, 202, "leaving", session.room_id)

    def _send_out(self, session: _StoredSession, command: str, uid: str | None, reason: str, **why: str | None) -> None:
        session.state, session.command_uid = "leaving", uid

        def failed(reason: str) -> None:
            if session.state == "leaving":
                session.state = "joined"
                self._emit_failed(session, command, uid, reason)

        def left() -> None:
            if session.state == "leaving":
                self._take_out(session, reason, **why)

        self._wait(left, failed)

    def _hold(self, uuid: str, body: _Hold) -> _Returned:
        return self._flag(uuid, "hold", body, body.url or "")

    def _flag(self, uuid: str, command: str, body: _Command, asked: str = "") -> _Returned:
        change, named = CHANGES[command], (command, uuid, asked)
        session, first = self._member(uuid, body, named, change.group)
        if first:
            return first
        if reason := _why_not(session, command):
            raise _Refused(reason)
        self._cooldowns[change.group, uuid] = self.now + SESSION_COOLDOWN
        self._change_flag(session, command, body.command_uid)
        return self._accept(body.command_uid, named, 202, change.done, session.room_id)

    def _change_member(self, room_id: str, uuid: str, body: _MemberChanges) -> _Returned:
        room = self._room(room_id)
        given = body.model_dump(exclude_unset=True)
        named = ("change_member", uuid, room_id, json.dumps({**given, "command_uid": None}))
        session, first = self._member(uuid, body, named, "conference_member", room_id)
        if first:
            return first
        flags = {name: command for command, change in CHANGES.items() if given.get(name := change.flag) is change.on}
        refused = {name: _why_not(session, command) for name, command in flags.items()}
        for reason in refused.values():
            if reason == "already_playing" or reason.endswith("_pending"):
                raise _Refused(reason)
        if any(name in session.pending for name in LEVELS if name in given):
            raise _Refused("volume_pending")
        changing = [name for name in FLAGS if name in flags and not refused[name]]
        changing += [name for name in LEVELS if name in given and given[name] != session.levels[name]]
        for name in changing:
            if name in flags:
                self._change_flag(session, flags[name], body.command_uid)
            else:
                self._change_level(session, name, given[name], body.command_uid)
        role, tags = given.get("role", session.role), given.get("tags", session.tags)
        is_other = (role, tags) != (session.role, session.tags)
        if changing or is_other:
            self._cooldowns["conference_member", uuid] = self.now + COOLDOWNS["conference_member"]
        if is_other:
            session.role, session.tags = role, tags
            self._emit_member(session, "conference.member.updated", command_uid=body.command_uid)
            if role == "moderator":
                self._moderator_came(room)
        answer = {"uuid": uuid, "status": "changing", "room_id": room_id, "changing": changing}
        return self._keep(body.command_uid, named, (202, answer))

    def _set_member_volume(self, uuid: str, body: _MemberVolume) -> _Returned:
        command = f"volume_{body.direction}"
        named = (command, uuid, str(body.volume))
        session, first = self._member(uuid, body, named, "conference_volume")
        if first:
            return first
        if command in session.pending:
            raise _Refused("volume_pending")
        self._cooldowns["conference_volume", uuid] = self.now + COOLDOWNS["conference_volume"]
        self._change_level(session, command, body.volume, body.command_uid)
        return self._accept(body.command_uid, named, 202, "volume_changed", session.room_id)

    def _coach(self, uuid: str, body: _Coach) -> _Returned:
        named = ("coach", uuid, body.session_id)
        session, first = self._member(uuid, body, named, "conference_coach")
        if first:
            return first
        coached = self._sessions.get(body.session_id)
        is_there = coached and coached.room_id == session.room_id and coached.state == "joined"
        if not coached or not is_there or coached is session:
            raise _Refused("coached_not_member")
        if coached.node != session.node:
            raise _Refused("coached_on_other_node")
        if session.pending.keys() & {"coach", "uncoach"}:
            raise _Refused("coach_pending")
        if session.coaching == coached.uuid:
            raise _Refused("already_coaching")
        coaches = [member for member in self._members(session.room_id) if member.coaching]
        if session.coaching is None and len(coaches) >= MAX_COACHES:
            raise _Refused("too_many_coaches")
        self._change_coaching(session, "coach", coached.uuid, body.command_uid)
        return self._accept(body.command_uid, named, 202, "coaching", session.room_id)

    def _uncoach(self, uuid: str, body: _Command) -> _Returned:
        named = ("uncoach", uuid)
        session, first = self._member(uuid, body, named, "conference_coach")
        if first:
            return first
        if session.pending.keys() & {"coach", "uncoach"}:
            raise _Refused("coach_pending")
        if session.coaching is None:
            raise _Refused("not_coaching")
        self._change_coaching(session, "uncoach", None, body.command_uid)
        return self._accept(body.command_uid, named, 202, "uncoached", session.room_id)

    def _change_coaching(self, session: _StoredSession, command: str, coached: str | None, uid: str | None) -> None:
        self._cooldowns["conference_coach", session.uuid] = self.now + COOLDOWNS["conference_coach"]
        session.pending[command] = uid

        def changed() -> None:
            if command in session.pending:
                uid = session.pending.pop(command)
                session.coaching = coached
                done = "coaching" if coached else "uncoached"
                self._emit_member(session, f"conference.member.{done}", command_uid=uid)

        def failed(reason: str) -> None:
            if command in session.pending:
                self._emit_failed(session, command, session.pending.pop(command), reason)

        self._wait(changed, failed)

    def _change_level(self, session: _StoredSession, command: str, value: int, uid: str | None) -> None:
        session.pending[command] = uid

        def changed() -> None:
            if command in session.pending:
                uid = session.pending.pop(command)
                session.levels = {**session.levels, command: value}
                self._emit_member(session, "conference.member.volume_changed", command_uid=uid)

        def failed(reason: str) -> None:
            if command in session.pending:
                self._emit_failed(session, command, session.pending.pop(command), reason)

        self._wait(changed, failed)

    def _change_flag(self, session: _StoredSession, command: str, uid: str | None) -> None:
        change = CHANGES[command]
        session.pending[command] = uid

        def changed() -> None:
            if command in session.pending:
                uid = session.pending.pop(command)
                session.flags = {**session.flags, change.flag: change.on}
                session.speaking = session.speaking and not (session.flags["muted"] or session.flags["hold"])
                session.waiting = session.waiting and command != "unhold"
                self._emit_member(session, f"conference.member.{change.done}", command_uid=uid)
                self._member_done(session, uid)
                if session.room_id in self._rooms:
                    self._let_in(self._rooms[session.room_id])

        def failed(reason: str) -> None:
            if command in session.pending:
                self._emit_failed(session, command, session.pending.pop(command), reason)

        self._wait(changed, failed)

    def _kick_all(self, room_id: str, body: _KickAllBody) -> _Returned:
        def kick(session: _StoredSession, operation: str) -> bool:
            self._send_out(session, "kick", operation, "kicked", kicked_by="app", kick_reason=body.reason)
            return True

        return self._ask_all(room_id, "kick", body, kick)

    def _flag_of_all(self, room_id: str, command: str, body: _AllBody) -> _Returned:
        def change(session: _StoredSession, operation: str) -> bool:
            if reason := _why_not(session, command):
                if reason != f"already_{CHANGES[command].done}":
                    self._all[room_id].skipped.append({"uuid": session.uuid, "reason": reason})
                return False
            self._change_flag(session, command, operation)
            return True

        return self._ask_all(room_id, command, body, change)

    def _ask_all(
        self, room_id: str, command: str, body: _AllBody, ask: Callable[[_StoredSession, str], bool]
    ) -> _Returned:
        room = self._room(room_id)
        self._check_now("conference_all", room.id)
        if room.id in self._all:
            raise _Refused("members_pending")
        self._cooldowns["conference_all", room.id] = self.now + COOLDOWNS["conference_all"]
        every = self._all[room.id] = _All(str(uuid.uuid4()), command)
        for session in self._members(room.id):
            if body.exclude_moderators and session.role == "moderator":
                continue
            if session.uuid in body.exclude or session.state != "joined":
                continue
            if ask(session, every.operation):
                every.waiting.add(session.uuid)
        self._finish_all(room.id)
        return 202, {"operation_id": every.operation, "status": "in_progress"}

    def _member_done(self, session: _StoredSession, uid: str | None, reason: str = "") -> None:
        every = self._all.get(session.room_id)
        if every and uid == every.operation:
            every.waiting.discard(session.uuid)
            if reason:
                every.failed.append({"uuid": session.uuid, "reason": reason})
            else:
                every.changed += 1
            self._finish_all(session.room_id)

    def _finish_all(self, room_id: str) -> None:
        every = self._all[room_id]
        if every.waiting:
            return
        del self._all[room_id]
        data: dict[str, Any] = {"operation_id": every.operation, "command": every.command, "changed": every.changed}
        data |= {"failed": len(every.failed), "failed_members": every.failed[:MAX_NAMED]}
        data |= {"skipped": len(every.skipped), "skipped_members": every.skipped[:MAX_NAMED]}
        self._emit_room(room_id, "conference.command.finished", **data)

    def _session(self, uuid: str) -> _StoredSession:
        if uuid not in self._sessions:
            raise _Refused("session_not_found")
        return self._sessions[uuid]

    def _member(
        self, uuid: str, body: _Command, named: tuple[str, ...], group: str, room_id: str = ""
    ) -> tuple[_StoredSession, _Returned | None]:
        """The session of a command to a member, of that room if it is given, and the response if the command is a
        repeated one.
        """
        session = self._session(uuid)
        if first := self._first_answer(body.command_uid, named):
            return session, first
        if not session.room_id or session.room_id != (room_id or session.room_id):
            raise _Refused("not_in_room")
        self._check_now(group, uuid)
        if session.state == "joining":
            raise _Refused("still_joining")
        if session.state in ("leaving", "transferring"):
            raise _Refused(session.state)
        return session, None

    def _first_answer(self, command_uid: str | None, named: tuple[str, ...]) -> _Returned | None:
        until, first, answer = self._answers.get(command_uid or "", (0.0, (), (0, {})))
        if until <= self.now:
            return None
        if first != named:
            raise _Refused("command_uid_taken")
        return answer

    def _accept(
        self, command_uid: str | None, named: tuple[str, ...], status: int, word: str, room_id: str
    ) -> _Returned:
        return self._keep(command_uid, named, (status, {"status": word, "room_id": room_id}))

    def _keep(self, command_uid: str | None, named: tuple[str, ...], answer: _Returned) -> _Returned:
        """The response to a command that is accepted, also when it comes again."""
        if command_uid:
            self._answers[command_uid] = self.now + ANSWER_SECONDS, named, answer
        return answer

    def _check_now(self, group: str, identifier: str) -> None:
        """Refuses while the group cools down for a room, a session or the app, and what needs a node that is down."""
        left = self._cooldowns.get((group, identifier), 0.0) - self.now
        if left > 0:
            raise _Refused("rate_limited", {"retry_after_ms": math.ceil(left * 1000), "group": group})
        if not self.node_up and identifier != self.app_id:
            raise _Refused("node_down")

    def _wait(self, confirmed: Callable[[], None], failed: Callable[[str], None] = lambda _reason: None) -> None:
        self._waiting.append((confirmed, failed))

    def _take_out(self, session: _StoredSession, reason: str, cause: str | None = None, **why: str | None) -> None:
        """Out of the room that it is in, or on its way to, if it is."""
        if not session.room_id:
            return
        for command, uid in session.pending.items():
            self._emit_failed(session, command, uid, "no_member")
        ended_by = session.hang_up_uid if reason == "hangup" else None
        uid = ended_by if session.state == "joined" else session.command_uid
        type_ = "conference.member.join_failed" if session.state == "joining" else "conference.member.left"
        self._interrupt_play(session)
        self._emit_member(session, type_, reason=reason, cause=cause, command_uid=uid, **why)
        self._member_done(session, uid)
        room = self._rooms.get(session.room_id)
        session.state = session.state if session.state == "transferring" else "parked"
        session.room_id, session.member_id, session.pending = "", None, {}
        is_kept_by = room and type_ == "conference.member.left" and _keeps(session, room)
        session.flags, session.role, session.tags = dict.fromkeys(FLAGS, False), "participant", []
        session.levels, session.joined_at, session.end_on_exit, session.speaking = LEVELS.copy(), None, False, False
        session.waiting, session.coaching = False, None
        if room and not self._members(room.id):
            self._interrupt(room)
            self._end_recordings("room_emptied", room_id=room.id)
        if room and room.floor == session.uuid:
            room.floor = ""
        inside = [one for one in self._sessions.values() if room and one.room_id == room.id]
        if room and not inside:
            room.begun, room.empty_since = False, self.now
        if room and is_kept_by and not any(_keeps(one, room) for one in inside):
            self._end_room(room, "end_on_exit")

    # Recordings

    def _record_room(self, room_id: str, body: _Record) -> _Returned:
        room, named = self._room(room_id), ("record", room_id, body.model_dump_json(exclude={"command_uid"}))
        if first := self._first_answer(body.command_uid, named):
            return first
        self._check_now("recording", room_id)
        self._check_not_recorded(room_id=room_id)
        if not self._members(room_id):
            raise _Refused("room_empty")
        self._cooldowns["recording", room_id] = self.now + COOLDOWNS["recording"]
        return self._begin_recording({"room_id": room.id}, named, body)

    def _record_session(self, uuid: str, body: _RecordSession) -> _Returned:
        session, named = self._session(uuid), ("record", uuid, body.model_dump_json(exclude={"command_uid"}))
        if first := self._first_answer(body.command_uid, named):
            return first
        self._check_now("recording", uuid)
        if session.state == "dialing":
            raise _Refused("still_dialing")
        self._check_not_recorded(uuid=uuid)
        self._cooldowns["recording", uuid] = self.now + COOLDOWNS["recording"]
        about = {"uuid": uuid, "did": session.did, "caller_id": session.caller_id}
        return self._begin_recording(about, named, body, body.channels)

    def _check_not_recorded(self, **about: str) -> None:
        if found := self._recorded(**about):
            raise _Refused("already_recording", {"recording_id": found.id})

    def _recorded(self, **about: str) -> _StoredRecording | None:
        """The recording that goes on of a room or session."""
        for each in self._recordings.values():
            if (each.goes_on or each.state == "stopping") and about.items() <= each.about.items():
                return each
        return None

    def _running(self, **about: str) -> dict[str, str] | None:
        found = self._recorded(**about)
        return {"recording_id": found.id, "state": found.state} if found else None

    def _begin_recording(
        self, about: dict[str, str], named: tuple[str, ...], body: _Record, channels: int = 1
    ) -> _Returned:
        found = _StoredRecording(next(self._numbers), uuid.uuid4().hex, about, channels, body.upload_url, self.now)
        found.command_uid = body.command_uid
        self._recordings[found.id] = found

        def started() -> None:
            if found.state == "starting":
                found.state, found.started_at = "recording", self.now
                self._emit_recording(found, "started", channels=channels, command_uid=body.command_uid)

        def failed(reason: str) -> None:
            if found.state == "starting":
                found.state, found.ended_at, found.reason = "failed", self.now, reason
                self._emit_recording(found, "failed", reason=reason, command_uid=body.command_uid)

        self._wait(started, failed)
        return self._keep(body.command_uid, named, (202, {"recording_id": found.id, "status": "starting"}))

    def _control_recording(self, recording_id: str, step: str, body: _Command) -> _Returned:
        found, named = self._recording(recording_id), (f"{step}_recording", recording_id)
        if first := self._first_answer(body.command_uid, named):
            return first
        self._check_now("recording_control", recording_id)
        if not found.goes_on:
            raise _Refused("recording_over")
        if step == "stop":
            status = "stopping"
            found.stop_uid, found.reason = body.command_uid, "asked"
            if room := self._rooms.get(found.about.get("room_id", "")):
                room.record_stopped = True
            if found.state != "starting":
                found.state = "stopping"
            self._wait(lambda: self._end_recording(found, "asked"))
        else:
            status = self._change_recording(found, step, body)
        self._cooldowns["recording_control", recording_id] = self.now + COOLDOWNS["recording_control"]
        return self._keep(body.command_uid, named, (202, {"recording_id": found.id, "status": status}))

    def _change_recording(self, found: _StoredRecording, step: str, body: _Command) -> str:
        status = "paused" if step == "pause" else "resumed"
        state = "paused" if step == "pause" else "recording"
        if found.state == "starting":
            raise _Refused("recording_starting")
        if found.changing:
            raise _Refused("recording_pending")
        if found.state == state:
            raise _Refused("already_paused" if step == "pause" else "not_paused")
        found.changing = True

        def changed() -> None:
            found.changing = False
            if found.goes_on:
                found.state = state
                self._emit_recording(found, status, command_uid=body.command_uid)

        def failed(reason: str) -> None:
            found.changing = False
            kind = "conference" if "room_id" in found.about else "session"
            data = {"command": f"{step}_recording", "recording_id": found.id, "reason": reason}
            about = found.about.get("room_id") or found.about["uuid"]
            self._emit(about, f"{kind}.command.failed", {**found.about, **data, "command_uid": body.command_uid})

        self._wait(changed, failed)
        return status

    def _end_recordings(self, reason: str, **about: str) -> None:
        if found := self._recorded(**about):
            self._end_recording(found, reason)

    def _end_recording(self, found: _StoredRecording, reason: str) -> None:
        """The node has ended it, and puts its file to a relay."""
        if not found.goes_on and found.state != "stopping":
            return
        was_started = found.started_at is not None
        found.reason, found.ended_at, found.size = found.reason or reason, self.now, len(self.recorded)
        told = {"duration": self._length(), "size": found.size}
        if was_started:
            self._emit_recording(found, "stopped", reason=found.reason, command_uid=found.stop_uid, **told)
        found.state, found.file = "available", self.recorded
        found.expires_at = self.now + KEEP_SECONDS
        if found.upload_url:
            found.attempts = 1
            if found.upload_url in self.refused_uploads:
                found.state, found.reason = "failed", "upload_failed"
                found.http_status = self.refused_uploads[found.upload_url]
                self._emit_recording(found, "failed", reason=found.reason, http_status=found.http_status)
                return
            self.uploads[found.upload_url] = self.recorded
            found.uploaded, found.file, found.expires_at, found.upload_url = True, None, None, None
        self._emit_recording(found, "available", uploaded=found.uploaded, **told)

    def _length(self) -> float:
        (bytes_per_second,) = struct.unpack_from("<I", self.recorded, 28)
        return float(round((len(self.recorded) - 44) / bytes_per_second, 3))

    def _list_recordings(self, query: _RecordingPage) -> _Returned:
        for found in self._recordings.values():
            self._look_at_time(found)
        rows = [
            (found.order, self._shown_recording(found))
            for found in self._recordings.values()
            if query.state in (None, found.state)
            and query.room_id in (None, found.about.get("room_id"))
            and query.uuid in (None, found.about.get("uuid"))
        ]
        return _page("recordings", rows, query)

    def _get_recording(self, recording_id: str) -> _Returned:
        return 200, self._shown_recording(self._recording(recording_id))

    def _delete_recording(self, recording_id: str) -> _Returned:
        del self._recordings[self._recording(recording_id).id]
        return 200, {"recording_id": recording_id}

    def _recording(self, recording_id: str) -> _StoredRecording:
        found = self._recordings.get(recording_id)
        if not found:
            raise _Refused("recording_not_found")
        self._look_at_time(found)
        return found

    def _look_at_time(self, found: _StoredRecording) -> None:
        if found.expires_at is not None and found.expires_at < self.now:
            found.state, found.file, found.expires_at = "expired", None, None

    def _content(self, request: Request) -> Response:
        headers = _lower(request.headers)
        place = re.fullmatch(f"{API}/recordings/([^/]+)/content", urlsplit(request.target).path)
        if not self._lets_in(headers):
            raise _Refused("unauthenticated")
        if not place:
            raise _Refused("no_such_path")
        found = self._recording(unquote(place[1]))
        if found.goes_on or found.state in ("stopping", "storing"):
            raise _Refused("recording_not_available")
        if found.file is None:
            raise _Refused("recording_gone")
        tag, size = f'"{found.id}"', len(found.file)
        about = {"content-type": "audio/wav", "accept-ranges": "bytes", "etag": tag}
        if headers.get("if-none-match") == tag:
            return Response(304, about)
        part = re.fullmatch("bytes=([0-9]+)-([0-9]*)", headers.get("range", ""))
        if not part or headers.get("if-range", tag) != tag:
            return Response(200, {**about, "content-length": str(size)}, found.file)
        first, end = int(part[1]), min(size, int(part[2] or size) + 1)
        if first >= size:
            raise _Refused("no_such_range")
        about["content-range"] = f"bytes {first}-{end - 1}/{size}"
        return Response(206, {**about, "content-length": str(end - first)}, found.file[first:end])

    def _emit_recording(self, found: _StoredRecording, step: str, **data: Any) -> None:
        kind = "conference" if "room_id" in found.about else "session"
        self._emit(found.id, f"{kind}.recording.{step}", {**found.about, "recording_id": found.id, **data})

    def _shown_recording(self, found: _StoredRecording) -> dict[str, Any]:
        return {
            "recording_id": found.id,
            "room_id": found.about.get("room_id", ""),
            "uuid": found.about.get("uuid", ""),
            "state": found.state,
            "channels": found.channels,
            "created_at": _iso(int(found.created_at)),
            "started_at": None if found.started_at is None else _iso_ms(found.started_at),
            "ended_at": None if found.ended_at is None else _iso_ms(found.ended_at),
            "reason": found.reason,
            "duration": None if found.size is None else self._length(),
            "size": found.size,
            "uploaded": found.uploaded,
            "upload_host": urlsplit(found.upload_url).netloc if found.upload_url else None,
            "upload_attempts": found.attempts,
            "http_status": found.http_status,
            "expires_at": None if found.expires_at is None else _iso_ms(found.expires_at),
        }

    # Webhooks

    def _get_endpoint(self) -> _Returned:
        until = self._old_secret_until
        return 200, {
            **self._endpoint,
            "status": "active",
            "since": None,
            "reason": "",
            "old_secret_until": None if until is None else _iso_ms(until),
        }

    def _set_endpoint(self, body: _Endpoint) -> _Returned:
        self._endpoint = {"url": body.url, "types": body.types}
        return self._get_endpoint()

    def _rotate_secret(self) -> _Returned:
        self.secret = "whsec_" + uuid.uuid4().hex
        self._old_secret_until = self.now + 86_400
        return 200, {"secret": self.secret}

    def _send_test(self, body: _Test) -> _Returned:
        self._check_now("webhook_test", self.app_id)
        self._cooldowns["webhook_test", self.app_id] = self.now + COOLDOWNS["webhook_test"]
        identifier = f"msg_test-p00-{int(self.now * 1000)}-{next(self._numbers)}"
        data = {**_sample(body.type), "app_id": self.app_id, "sequence": 1}
        if body.type == "webhook.test":
            data["uuid"] = identifier
        attempt = self._attempt(identifier, self._body(body.type, data))
        outcome = {name: attempt[name] for name in ("status", "error", "latency_ms", "answer")}
        return 200, {"webhook_id": identifier, "delivered": _ok(attempt["status"]), **outcome}

    def _create_portal_link(self, body: _PortalLink) -> _Returned:
        url = f"http://fake/console/#link={uuid.uuid4().hex}"
        return 201, {"url": url, "expires_at": _iso(int(self.now + body.expires_in))}

    def _list_deliveries(self, query: _DeliveryPage) -> _Returned:
        since, until = (_parsed(text) if text else None for text in (query.since, query.until))
        rows = [
            (-one.order, _delivery(one))
            for one in reversed(self._deliveries.values())
            if query.status in (None, one.status)
            and query.type in (None, one.webhook.type)
            and query.room_id in (None, _room_of(one.webhook.data))
            and (since is None or one.webhook.timestamp >= since)
            and (until is None or one.webhook.timestamp < until)
        ]
        return _page("deliveries", rows, query)

    def _get_delivery(self, webhook_id: str) -> _Returned:
        found = self._delivery(webhook_id)
        return 200, {**_delivery(found), "data": json.loads(found.raw)["data"], "tried": found.attempts[-20:]}

    def _redeliver(self, webhook_id: str) -> _Returned:
        self._deliver(self._delivery(webhook_id))
        return 202, {"webhook_id": webhook_id, "status": "retrying"}

    def _redeliver_range(self, body: _Range) -> _Returned:
        since, until = _parsed(body.since), _parsed(body.until)
        failed = [
            one
            for one in self._deliveries.values()
            if one.status == "failed" and since <= one.webhook.timestamp < until
        ]
        for one in failed:
            self._deliver(one)
        return 202, {"webhooks": len(failed)}

    def _delivery(self, webhook_id: str) -> _Delivered:
        if webhook_id not in self._deliveries:
            raise _Refused("webhook_not_found")
        return self._deliveries[webhook_id]

    def _emit_failed(self, session: _StoredSession, command: str, uid: str | None, reason: str) -> None:
        self._emit_member(session, "conference.command.failed", command=command, command_uid=uid, reason=reason)
        self._member_done(session, uid, reason)

    def _emit_finished(
        self, room: _StoredRoom, operation: str, urls: Iterable[str], failed: Mapping[str, str], status: str = ""
    ) -> None:
        self._emit_room(room.id, "conference.play.finished", **_ended(operation, urls, failed, status))

    def _emit_member(self, session: _StoredSession, type_: str, **data: Any) -> None:
        about = {"uuid": session.uuid, "did": session.did, "caller_id": session.caller_id}
        state = {**session.flags, **session.levels, "role": session.role, "tags": session.tags}
        state |= {"end_on_exit": session.end_on_exit, "waiting": session.waiting, "coaching": session.coaching}
        self._emit_room(session.room_id, type_, **about, **state, member_id=session.member_id, **data)

    def _emit_room(self, room_id: str, type_: str, **data: Any) -> None:
        self._emit(room_id, type_, {"room_id": room_id, **data})

    def _emit_session(self, session: _StoredSession, type_: str, **data: Any) -> None:
        about = {"uuid": session.uuid, "did": session.did, "caller_id": session.caller_id}
        self._emit(session.uuid, type_, {**about, **data})

    def _emit(self, about: str, type_: str, data: dict[str, Any]) -> None:
        """`data`: what is None is left out, but for options of a room, and whom a member coaches."""
        sequence = self._sequences[about] = self._sequences.get(about, 0) + 1
        if not any(_matches(pattern, type_) for pattern in self._endpoint["types"]):
            return
        number = next(self._numbers)
        identifier = f"msg_p00-{int(self.now * 1000)}-{number}"
        kept = (*_Options.model_fields, "coaching")
        present = {name: value for name, value in data.items() if value is not None or name in kept}
        raw = self._body(type_, {"app_id": self.app_id, "sequence": sequence, **present})
        found = _Delivered(number, webhooks.parse(identifier, json.loads(raw)), raw, "pending")
        self._deliveries[identifier] = found
        self.webhooks.append(found.webhook)
        self._deliver(found)

    def _body(self, type_: str, data: dict[str, Any]) -> bytes:
        return json.dumps({"type": type_, "timestamp": _iso_ms(self.now), "data": data}).encode()

    def _deliver(self, found: _Delivered) -> None:
        attempt = {"number": len(found.attempts) + 1, **self._attempt(found.webhook.id, found.raw)}
        found.attempts.append(attempt)
        found.status = "delivered" if _ok(attempt["status"]) else "failed"

    def _attempt(self, identifier: str, raw: bytes) -> dict[str, Any]:
        at = datetime.fromtimestamp(self.now, UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": identifier,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": StandardWebhook(self.secret).sign(identifier, at, raw.decode()),
        }
        status, error = 204, None
        if self.receiver:
            try:
                status = self.receiver(headers, raw) or 204
            except Exception as raised:  # As a server does with what its handler raises.
                status, error = 500, repr(raised)
        return {"at": _iso_ms(self.now), "status": status, "error": error, "latency_ms": 0, "answer": ""}


def _checked(form: type[BaseModel], values: Any) -> Any:
    try:
        return form.model_validate(values)
    except ValidationError as error:
        fields = [
            {"field": ".".join(map(str, each["loc"])) or "body", "problem": each["msg"]} for each in error.errors()
        ]
    first = fields[0]
    raise _Refused("invalid", {"fields": fields}, f"Invalid request: {first['field']} {first['problem']}")


def _json(body: bytes | None) -> Any:
    try:
        return json.loads(body) if body else {}
    except ValueError:
        detail = {"fields": [{"field": "body", "problem": "is not valid JSON"}]}
    raise _Refused("invalid", detail, "Invalid request: body is not valid JSON")


def _response(status: int, body: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(status, {"x-request-id": str(uuid.uuid4()), **headers}, json.dumps(body).encode())


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _refusal(refused: _Refused) -> Response:
    status, _ = ERRORS[refused.code]
    body = {"success": False, "error": refused.text}
    if refused.detail:
        body["detail"] = refused.detail
    return _response(status, body, {"x-error-code": refused.code, **_retry_after(status, refused.detail)})


def _retry_after(status: int, detail: dict[str, Any] | None) -> dict[str, str]:
    if status not in (429, 503):
        return {}
    return {"retry-after": str(max(1, math.ceil((detail or {}).get("retry_after_ms", 2000) / 1000)))}


def _page(name: str, rows: Iterable[tuple[int, dict[str, Any]]], query: _Page) -> _Returned:
    """`rows`: each behind its place, in order. A cursor is the place of the last entry of a page."""
    limit = min(int(query.limit), MAX_ENTRIES[name])
    left = [(place, row) for place, row in rows if not query.cursor or place > int(query.cursor)]
    cursor = str(left[limit - 1][0]) if len(left) > limit else ""
    return 200, {name: [row for _, row in left[:limit]], "cursor": cursor}


def _waits(room: _StoredRoom) -> bool:
    """Whether those who join wait for a moderator."""
    return bool(room.options["wait_for_moderator"]) and not room.begun


def _delivery(found: _Delivered) -> dict[str, Any]:
    room_id = _room_of(found.webhook.data)
    return {
        "webhook_id": found.webhook.id,
        "type": found.webhook.type,
        "room_id": room_id,
        "uuid": "" if room_id else getattr(found.webhook.data, "uuid", ""),
        "created_at": json.loads(found.raw)["timestamp"],
        "status": found.status,
        "attempts": len(found.attempts),
        "next_attempt_at": None,
    }


def _sample(type_: str) -> dict[str, Any]:
    """Data of the form of a type, about nobody."""
    schema = webhooks.DATA[type_].model_json_schema()
    by_type = {"string": "sample", "integer": 1, "boolean": True, "array": []}
    forms = {name: schema["properties"][name] for name in schema["required"]}
    return {
        name: form["anyOf"][0].get("enum", [form["anyOf"][0].get("const")])[0]
        if "anyOf" in form
        else by_type[form["type"]]
        for name, form in forms.items()
    }


def _room_of(data: Data) -> str:
    return str(getattr(data, "room_id", ""))


def _matches(pattern: str, type_: str) -> bool:
    return pattern in ("*", type_) or (pattern.endswith(".*") and type_.startswith(pattern[:-1]))


def _ok(status: int) -> bool:
    return 200 <= status < 300


def _playing(operation: str, urls: list[str]) -> dict[str, Any]:
    return {"operation_id": operation, "urls": urls, "index": 0}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _iso_ms(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _keeps(session: _StoredSession, room: _StoredRoom) -> bool:
    """Whether the room ends when the last one like this session leaves."""
    return session.end_on_exit or session.role == room.options["end_on_exit"]


def _new_operation() -> str:
    return str(uuid.uuid4())


def _played(session: _StoredSession, operation: str, status: str) -> dict[str, Any]:
    return {"uuid": session.uuid, "operation_id": operation, "status": status}


def _ended(operation: str, urls: Iterable[str], failed: Mapping[str, str], status: str) -> dict[str, Any]:
    """How a playback has ended, and each of its URLs. `failed`: the reason, by URL."""
    results = [
        {"url": url, "status": "failed", "reason": failed[url]} if url in failed else {"url": url, "status": "played"}
        for url in urls
    ]
    played = sum(result["status"] == "played" for result in results)
    ended = "completed" if played == len(results) else "partial" if played else "failed"
    return {"operation_id": operation, "status": status or ended, "results": results}


def _why_not(session: _StoredSession, command: str) -> str:
    """Why a member's flag cannot be changed, or empty."""
    change = CHANGES[command]
    opposite = next(name for name, one in CHANGES.items() if one.flag == change.flag and one.on != change.on)
    if command in session.pending:
        return f"{command}_pending"
    if change.flag == "hold" and opposite in session.pending:
        return f"{opposite}_pending"
    if command == "hold" and session.play:
        return "already_playing"
    is_so = opposite not in session.pending and session.flags[change.flag] is change.on
    return f"already_{change.done}" if is_so else ""


_ROOM = "/conferences/([^/]+)"
_SESSION = "/sessions/([^/]+)"
_COMMANDS = f"{_SESSION}/commands/conference"

# Method, path, what handles it, and the forms of its query and body.
ROUTES: list[tuple[str, str, Callable[..., _Returned], dict[str, type[BaseModel]]]] = [
    ("POST", "/conferences", FakeSwitchroom._create_room, {"body": _NewRoom}),
    ("GET", "/conferences", FakeSwitchroom._list_rooms, {"query": _RoomPage}),
    ("GET", _ROOM, FakeSwitchroom._get_room, {}),
    ("PATCH", _ROOM, FakeSwitchroom._change_room, {"body": _Options}),
    ("GET", f"{_ROOM}/members", FakeSwitchroom._list_members, {"query": _Page}),
    ("DELETE", _ROOM, FakeSwitchroom._delete_room, {}),
    ("POST", f"{_ROOM}/play", FakeSwitchroom._play, {"body": _Play}),
    ("POST", f"{_ROOM}/pause", FakeSwitchroom._pause, {}),
    ("POST", f"{_ROOM}/stop", FakeSwitchroom._stop, {}),
    ("POST", f"{_ROOM}/volume", FakeSwitchroom._set_volume, {"body": _Volume}),
    ("POST", f"{_ROOM}/commands/({'|'.join(CHANGES)})-all", FakeSwitchroom._flag_of_all, {"body": _AllBody}),
    ("POST", f"{_ROOM}/commands/kick-all", FakeSwitchroom._kick_all, {"body": _KickAllBody}),
    ("GET", "/sessions", FakeSwitchroom._list_sessions, {"query": _SessionPage}),
    ("POST", "/sessions", FakeSwitchroom._dial, {"body": _Dial}),
    ("GET", _SESSION, FakeSwitchroom._get_session, {}),
    ("DELETE", _SESSION, FakeSwitchroom._hang_up, {"body": _HangUp}),
    ("POST", f"{_SESSION}/commands/transfer", FakeSwitchroom._transfer, {"body": _Transfer}),
    ("POST", f"{_SESSION}/commands/dtmf", FakeSwitchroom._send_dtmf, {"body": _Dtmf}),
    ("POST", f"{_SESSION}/commands/play", FakeSwitchroom._play_to_session, {"body": _PlayTo}),
    ("POST", f"{_SESSION}/commands/stop", FakeSwitchroom._stop_session_play, {"body": _Command}),
    ("POST", f"{_SESSION}/commands/collect-digits", FakeSwitchroom._collect_digits, {"body": _Collect}),
    ("POST", f"{_COMMANDS}/join", FakeSwitchroom._join, {"body": _Join}),
    ("POST", f"{_COMMANDS}/leave", FakeSwitchroom._leave, {"body": _Command}),
    ("POST", f"{_COMMANDS}/kick", FakeSwitchroom._kick, {"body": _Kick}),
    ("POST", f"{_COMMANDS}/volume", FakeSwitchroom._set_member_volume, {"body": _MemberVolume}),
    ("POST", f"{_COMMANDS}/coach", FakeSwitchroom._coach, {"body": _Coach}),
    ("POST", f"{_COMMANDS}/uncoach", FakeSwitchroom._uncoach, {"body": _Command}),
    ("PATCH", f"{_ROOM}/members/([^/]+)", FakeSwitchroom._change_member, {"body": _MemberChanges}),
    ("POST", f"{_COMMANDS}/hold", FakeSwitchroom._hold, {"body": _Hold}),
    ("POST", f"{_COMMANDS}/({'|'.join(CHANGES)})", FakeSwitchroom._flag, {"body": _Command}),
    ("POST", f"{_ROOM}/commands/record", FakeSwitchroom._record_room, {"body": _Record}),
    ("POST", f"{_SESSION}/commands/record", FakeSwitchroom._record_session, {"body": _RecordSession}),
    ("POST", "/recordings/([^/]+)/commands/(pause|resume|stop)", FakeSwitchroom._control_recording, {"body": _Command}),
    ("GET", "/recordings", FakeSwitchroom._list_recordings, {"query": _RecordingPage}),
    ("GET", "/recordings/([^/]+)", FakeSwitchroom._get_recording, {}),
    ("DELETE", "/recordings/([^/]+)", FakeSwitchroom._delete_recording, {}),
    ("POST", "/batch", FakeSwitchroom._batch, {"body": _Batch}),
    ("GET", "/webhooks/endpoint", FakeSwitchroom._get_endpoint, {}),
    ("PUT", "/webhooks/endpoint", FakeSwitchroom._set_endpoint, {"body": _Endpoint}),
    ("POST", "/webhooks/endpoint/rotate-secret", FakeSwitchroom._rotate_secret, {}),
    ("POST", "/webhooks/endpoint/test", FakeSwitchroom._send_test, {"body": _Test}),
    ("POST", "/portal-links", FakeSwitchroom._create_portal_link, {"body": _PortalLink}),
    ("GET", "/webhooks/deliveries", FakeSwitchroom._list_deliveries, {"query": _DeliveryPage}),
    ("GET", "/webhooks/deliveries/([^/]+)", FakeSwitchroom._get_delivery, {}),
    ("POST", "/webhooks/deliveries/([^/]+)/redeliver", FakeSwitchroom._redeliver, {}),
    ("POST", "/webhooks/redeliver", FakeSwitchroom._redeliver_range, {"body": _Range}),
]
