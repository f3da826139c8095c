"""What the API responds with, a class for each form, named as in the OpenAPI document.

A field that a later version of the service adds is kept in `model_extra`, and a word that is not listed here is taken
as it comes: a client need not be as new as the service. Times are aware datetimes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# What older versions have not told of a member, a call and a command to all: in a webhook that one of them has stored,
# or in an answer while processes are replaced.
_OLDER: dict[str, Any] = {
    **{"deaf": False, "hold": False, "volume_in": 0, "volume_out": 0, "role": "participant", "tags": []},
    **{"end_on_exit": False, "waiting": False, "coaching": None, "recording": None, "playing": None},
    **{"direction": "inbound", "transferred_to": None, "skipped": 0, "skipped_members": []},
}


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _with_what_is_new(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in _OLDER.items() if name in cls.model_fields} | data


class Page(Model):
    """Of a listing. `cursor`: of the next page, empty when this is the last."""

    cursor: str


# Rooms


class RoomCreated(Model):
    room_id: str


class RoomDeleted(Model):
    room_id: str


class RoomOptions(Model):
    """All options of a room. None: without that limit."""

    max_members: int | None
    locked: bool
    end_when_empty: int | None
    max_duration: int | None
    tags: list[str]
    end_on_exit: Literal["participant", "moderator"] | str | None
    wait_for_moderator: bool
    hold_music: str | None
    beep_enter: str | None
    beep_exit: str | None
    record: bool
    speaker_events: bool


class RoomChanged(RoomOptions):
    room_id: str


class RunningRecording(Model):
    """The recording that goes on of a room or session."""

    recording_id: str
    state: Literal["starting", "recording", "paused", "stopping"] | str


class RoomEntry(Model):
    """A room in a list."""

    room_id: str
    name: str
    members: int
    created_at: datetime
    tags: list[str]
    recording: RunningRecording | None


class RoomList(Page):
    """A page of rooms."""

    conferences: list[RoomEntry]


class RoomNode(Model):
    """A media node on which a room is. `bridge`: `source` for the one that mixes the room, else the state of the call
    that joins it to that one.
    """

    prefix: str
    members: int
    bridge: Literal["source", "down", "dialing", "connected"] | str


class Waiting(Model):
    """A playback that waits for those before it."""

    operation_id: str
    urls: list[str]


class Playing(Model):
    """What plays. `index`: of the URL that plays now, or comes next."""

    operation_id: str
    urls: list[str]
    index: int


class Room(RoomOptions):
    """`started_at`: when the first member joined, None before that; `duration`: seconds since then. `peak_members`: the
    most that there were at once. `begun`: False while those who join wait for a moderator.
    """

    room_id: str
    name: str
    created_at: datetime
    started_at: datetime | None
    duration: int
    members: int
    peak_members: int
    begun: bool
    recording: RunningRecording | None
    nodes: list[RoomNode]
    playback_status: Literal["stopped", "playing", "paused"] | str
    playback_volume: int
    playback_urls: list[str]
    playback_operation_id: str
    playback_queue: list[Waiting]
    playing: Playing | None


class Member(Model):
    """A session that is in a room. `node`: the prefix of the media node that has its call. `coaching`: the session by
    which alone it is heard, if it coaches one.
    """

    uuid: str
    node: str
    did: str
    caller_id: str
    muted: bool
    deaf: bool
    hold: bool
    volume_in: int
    volume_out: int
    role: Literal["participant", "moderator"] | str
    tags: list[str]
    end_on_exit: bool
    recording: RunningRecording | None
    waiting: bool
    coaching: str | None
    speaking: bool
    joined_at: datetime | None


class MemberList(Page):
    """A page of a room's members."""

    room_id: str
    members: list[Member]


class Playback(Model):
    """An accepted command about what plays. `operation_id`: empty when nothing plays."""

    operation_id: str
    status: Literal["in_progress", "paused", "resumed", "stopped", "volume_changed"] | str


# Batches


class BatchResult(Model):
    """What became of a command of a batch. `code`: why it was refused, in a word; empty if it was not."""

    status: int
    code: str
    body: dict[str, Any]


class BatchResults(Model):
    """In the order of the commands."""

    results: list[BatchResult]


# Sessions


class Session(Model):
    """A call. `room_id`: empty while it is in no room. While it is dialled: the room that it will join, and the other
    fields of a member say as what. `member_id`: its number on its node while it is in one. `transferred_to`: the number
    or SIP URI, while it is transferring or transferred.
    """

    uuid: str
    node: str
    did: str
    caller_id: str
    direction: Literal["inbound", "outbound"] | str
    state: Literal["dialing", "parked", "joining", "joined", "leaving", "transferring", "transferred"] | str
    room_id: str
    member_id: int | None
    transferred_to: str | None
    muted: bool
    deaf: bool
    hold: bool
    volume_in: int
    volume_out: int
    role: Literal["participant", "moderator"] | str
    tags: list[str]
    end_on_exit: bool
    recording: RunningRecording | None
    waiting: bool
    coaching: str | None
    speaking: bool
    joined_at: datetime | None
    started_at: datetime


class SessionDetails(Session):
    """`playing`: what it alone hears."""

    playing: Playing | None


class SessionList(Page):
    """A page of sessions."""

    sessions: list[Session]


class Dialing(Model):
    """A call that is being made. `uuid`: its session."""

    uuid: str
    status: Literal["dialing"] | str


class Transferring(Model):
    uuid: str
    status: Literal["transferring"] | str


class HangingUp(Model):
    uuid: str
    status: Literal["hanging_up"] | str


class SendingDtmf(Model):
    uuid: str
    status: Literal["sending"] | str


class Collecting(Model):
    uuid: str
    status: Literal["collecting"] | str


class SessionPlayback(Model):
    """`operation_id`: empty if nothing was played that could be stopped."""

    uuid: str
    operation_id: str
    status: Literal["in_progress", "stopped"] | str


# Recordings


class RecordingStarted(Model):
    recording_id: str
    status: Literal["starting"] | str


class RecordingChanging(Model):
    recording_id: str
    status: Literal["paused", "resumed", "stopping"] | str


class Recording(Model):
    """A recording, of a room or of a session: the other one is empty. `duration`: in seconds, `size`: in bytes.

    `upload_host`: of the URL that it is put to, until it is there; `http_status`: what that server responded with last.
    `expires_at`: until when the file can be fetched.
    """

    recording_id: str
    room_id: str
    uuid: str
    state: (
        Literal[
            "starting",
            "recording",
            "paused",
            "stopping",
            "storing",
            "uploading",
            "available",
            "expired",
            "failed",
        ]
        | str
    )
    channels: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    reason: str | None
    duration: float | None
    size: int | None
    uploaded: bool
    upload_host: str | None
    upload_attempts: int | None
    http_status: int | None
    expires_at: datetime | None


class RecordingList(Page):
    """A page of recordings."""

    recordings: list[Recording]


class RecordingDeleted(Model):
    recording_id: str


class MemberChanging(Model):
    """`changing`: the names of what the media node has yet to confirm."""

    uuid: str
    status: Literal["changing"] | str
    room_id: str
    changing: list[str]


class Membership(Model):
    """An accepted command to a session. `status`: what the session does now, or is once the webhook comes."""

    status: (
        Literal[
            "joining",
            "already_joined",
            "leaving",
            "muted",
            "unmuted",
            "deafened",
            "undeafened",
            "held",
            "unheld",
            "volume_changed",
            "coaching",
            "uncoached",
        ]
        | str
    )
    room_id: str


# Webhooks


class Endpoint(Model):
    """Where webhooks go. `since`, `reason`: of the status `failing` or `disabled`. `old_secret_until`: until then
    webhooks are signed with the secret before the last rotation, too.
    """

    url: str
    types: list[str]
    status: Literal["unset", "active", "failing", "disabled"] | str
    since: datetime | None
    reason: str
    old_secret_until: datetime | None


class Secret(Model):
    secret: str


class SentTest(Model):
    """What came of a `webhook.test`. `status`: of the HTTP response, None if there was none, and `error` says why."""

    webhook_id: str
    delivered: bool
    status: int | None
    error: str | None
    latency_ms: int
    answer: str | None


class Delivery(Model):
    """A webhook that was attempted. `uuid`: the session, if it is about one outside rooms; else `room_id` is set."""

    webhook_id: str
    type: str
    room_id: str
    uuid: str
    created_at: datetime
    status: Literal["pending", "retrying", "delivered", "failed"] | str
    attempts: int
    next_attempt_at: datetime | None


class DeliveryList(Page):
    """A page of webhooks."""

    deliveries: list[Delivery]


class Attempt(Model):
    number: int
    at: datetime
    status: int | None
    error: str | None
    latency_ms: int
    answer: str | None


class DeliveryDetail(Delivery):
    """A webhook with its last 20 attempts, the oldest first."""

    data: dict[str, Any]
    tried: list[Attempt]


class Redelivery(Model):
    webhook_id: str
    status: Literal["retrying"] | str


class RangeRedelivery(Model):
    """`webhooks`: how many will be sent again."""

    webhooks: int


# The console


class PortalLink(Model):
    """`url`: can be opened once, until `expires_at`; whoever has it is let in."""

    url: str
    expires_at: datetime


# Health


class Alive(Model):
    status: Literal["ok"] | str


class Ready(Model):
    """`nodes`: whether each media node is up, by its prefix."""

    status: Literal["ready"] | str
    store: bool
    nodes: dict[str, bool]


# Errors


class Problem(Model):
    """What is wrong with a field or parameter; `body` is the body as a whole."""

    field: str
    problem: str


class Detail(Model):
    """What else an error says, for programs. What is there depends on the error; docs/api.md tells."""

    fields: list[Problem] = []
    room_id: str | None = None
    recording_id: str | None = None
    max_bytes: int | None = None
    retry_after_ms: Annotated[int, Field(ge=0, le=86_400_000)] | None = None
    group: str | None = None
    quota: str | None = None
    limit: int | None = None
    used: int | None = None
    store: bool | None = None
    nodes: dict[str, bool] = {}
