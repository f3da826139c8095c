"""Webhooks, verified and typed: `Verifier(secret).verify(body, headers)`, then match on the class of `data`.

    match webhook.data:
        case ConferenceMemberJoined(uuid=session, room_id=room):
            ...
        case SessionEnded(cause=cause):
            ...

The classes are named as in the OpenAPI document. A type that this version does not know has `Data` itself, with its
fields in `model_extra`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import SerializeAsAny, ValidationError
from standardwebhooks.webhooks import EmptyWebhookSecretError, WebhookVerificationError
from standardwebhooks.webhooks import Webhook as StandardWebhook

from switchroom.client.errors import InvalidWebhook
from switchroom.client.models import Model

FileReason = (
    Literal[
        "not_found",
        "not_audio",
        "too_large",
        "too_long",
        "timeout",
        "forbidden_address",
        "unreachable",
        "relay_failed",
        "unplayable",
        "no_members",
        "refused",
        "no_answer",
        "node_unreachable",
        "interrupted",
    ]
    | str
)


class Data(Model):
    """What all have. `sequence` counts the webhooks of a room, or of a session outside rooms, from 1. `resynced`: a
    comparison with the media node found it, not an event.
    """

    app_id: str
    sequence: int
    resynced: bool = False


class RoomData(Data):
    room_id: str


class MemberData(RoomData):
    """About a member. `command_uid`: of the command that caused it, if it had one."""

    uuid: str
    did: str
    caller_id: str
    muted: bool
    deaf: bool
    hold: bool
    waiting: bool
    coaching: str | None
    volume_in: int
    volume_out: int
    role: Literal["participant", "moderator"] | str
    tags: list[str]
    end_on_exit: bool
    command_uid: str | None = None


class SessionData(Data):
    """About a session outside rooms."""

    uuid: str
    did: str
    caller_id: str


class ConferenceCreated(RoomData):
    name: str


class ConferenceUpdated(RoomData):
    """All options of the room as they are now. None: without that limit."""

    name: str
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


class ConferenceDestroyed(RoomData):
    """`duration`: seconds since the first member joined, 0 if none did. `peak_members`: the most that there were."""

    name: str
    reason: Literal["deleted", "empty", "max_duration", "end_on_exit"] | str
    duration: int
    peak_members: int


class ConferenceMemberJoined(MemberData):
    member_id: int


class ConferenceMemberLeft(MemberData):
    """`cause`: the hangup cause, if it is one and known. `kicked_by`, `kick_reason`: who kicked the member, and why."""

    member_id: int
    reason: Literal["left", "kicked", "transferring", "hangup", "room_destroyed", "node_lost"] | str
    cause: str | None = None
    kicked_by: Literal["app", "node"] | str | None = None
    kick_reason: str | None = None


class ConferenceMemberMuted(MemberData):
    member_id: int


class ConferenceMemberUnmuted(MemberData):
    member_id: int


class ConferenceMemberDeafened(MemberData):
    member_id: int


class ConferenceMemberUndeafened(MemberData):
    member_id: int


class ConferenceSpeakerChanged(MemberData):
    """Who has the floor now."""

    member_id: int


class ConferenceMemberHeld(MemberData):
    member_id: int


class ConferenceMemberUnheld(MemberData):
    member_id: int


class ConferenceMemberUpdated(MemberData):
    """Its role or tags have changed."""

    member_id: int


class ConferenceMemberVolumeChanged(MemberData):
    member_id: int


class ConferenceMemberCoaching(MemberData):
    """It is heard by one other member alone."""

    member_id: int
    coaching: str


class ConferenceMemberUncoached(MemberData):
    """It is heard by all again."""

    member_id: int


class ConferenceMemberJoinFailed(MemberData):
    reason: (
        Literal[
            "kicked",
            "hangup",
            "room_destroyed",
            "node_lost",
            "not_confirmed",
            "refused",
            "no_answer",
            "node_unreachable",
            "bridge_failed",
        ]
        | str
    )
    cause: str | None = None


class ConferenceCommandFailed(RoomData):
    """What is about a member is None when the command was about none."""

    command: (
        Literal[
            "play",
            "pause",
            "leave",
            "kick",
            "coach",
            "uncoach",
            "mute",
            "unmute",
            "deaf",
            "undeaf",
            "hold",
            "unhold",
            "volume_in",
            "volume_out",
            "pause_recording",
            "resume_recording",
            "beep_enter",
            "beep_exit",
        ]
        | str
    )
    reason: (
        Literal[
            "not_confirmed",
            "refused",
            "no_answer",
            "node_unreachable",
            "no_member",
            "no_members",
            "not_playing",
            "no_recording",
            "unplayable",
            "not_found",
            "not_audio",
            "too_large",
            "too_long",
            "timeout",
            "forbidden_address",
            "unreachable",
            "relay_failed",
        ]
        | str
    )
    recording_id: str | None = None
    uuid: str | None = None
    did: str | None = None
    caller_id: str | None = None
    muted: bool | None = None
    deaf: bool | None = None
    hold: bool | None = None
    waiting: bool | None = None
    coaching: str | None = None
    volume_in: int | None = None
    volume_out: int | None = None
    role: Literal["participant", "moderator"] | str | None = None
    tags: list[str] | None = None
    end_on_exit: bool | None = None
    member_id: int | None = None
    command_uid: str | None = None


class FailedMember(Model):
    uuid: str
    reason: Literal["not_confirmed", "refused", "no_answer", "node_unreachable", "no_member"] | str


class SkippedMember(Model):
    """`reason`: the code with which a command to it alone is refused."""

    uuid: str
    reason: (
        Literal[
            "already_playing",
            "mute_pending",
            "unmute_pending",
            "deaf_pending",
            "undeaf_pending",
            "hold_pending",
            "unhold_pending",
        ]
        | str
    )


class ConferenceCommandFinished(RoomData):
    """`failed_members`, `skipped_members`: the first 100 of those that are counted in `failed` and `skipped`."""

    operation_id: str
    command: Literal["mute", "unmute", "deaf", "undeaf", "hold", "unhold", "kick"] | str
    changed: int
    failed: int
    failed_members: list[FailedMember]
    skipped: int
    skipped_members: list[SkippedMember]


class ConferencePlayStarted(RoomData):
    operation_id: str
    urls: list[str]


class PlayResult(Model):
    """What became of one URL. `http_status`: what its server responded with, for `not_found`."""

    url: str
    status: Literal["played", "failed"] | str
    reason: FileReason | None = None
    http_status: int | None = None


class ConferencePlayFinished(RoomData):
    operation_id: str
    status: Literal["completed", "partial", "failed", "interrupted"] | str
    results: list[PlayResult]


class ConferencePlayPaused(RoomData):
    """`paused`: False when it goes on."""

    operation_id: str
    paused: bool


class ConferencePlayStopped(RoomData):
    operation_id: str


class ConferencePlayVolumeChanged(RoomData):
    operation_id: str
    volume: int


class SessionStarted(SessionData):
    direction: Literal["inbound", "outbound"] | str
    state: Literal["parked"] | str


class SessionDialing(SessionData):
    """A call that you make: `did` is called, and sees `caller_id`."""

    direction: Literal["inbound", "outbound"] | str
    command_uid: str | None = None


class SessionRinging(SessionData):
    """It rings. Not every gateway tells."""

    command_uid: str | None = None


class SessionAnswered(SessionData):
    command_uid: str | None = None


class SessionFailed(SessionData):
    """Nobody has answered, and the session is over. `hangup_cause`: FreeSWITCH's name of it. `cancelled_by`: the
    `command_uid` of the hang-up that cancelled it.
    """

    cause: (
        Literal[
            "busy",
            "no_answer",
            "rejected",
            "invalid_number",
            "unreachable",
            "cancelled",
            "node_unreachable",
            "node_lost",
            "failed",
        ]
        | str
    )
    hangup_cause: str | None = None
    command_uid: str | None = None
    cancelled_by: str | None = None


class SessionTransferred(SessionData):
    """The number `to` has answered, and sees the number `shown_as`."""

    to: str
    shown_as: str
    command_uid: str | None = None


class SessionTransferFailed(SessionData):
    """It has not, and the call is parked again. `hangup_cause`: FreeSWITCH's name of the cause."""

    to: str
    shown_as: str
    cause: (
        Literal[
            "busy",
            "no_answer",
            "rejected",
            "invalid_number",
            "unreachable",
            "cancelled",
            "node_unreachable",
            "node_lost",
            "failed",
        ]
        | str
    )
    hangup_cause: str | None = None
    command_uid: str | None = None


class SessionEnded(SessionData):
    """`duration`: of the call, in seconds."""

    direction: Literal["inbound", "outbound"] | str
    cause: str
    duration: int
    command_uid: str | None = None


class SessionCommandFailed(SessionData):
    """The call goes on, if it has not ended before."""

    command: Literal["hang_up", "dtmf", "play", "join", "pause_recording", "resume_recording"] | str
    reason: (
        Literal[
            "not_confirmed",
            "refused",
            "no_answer",
            "node_unreachable",
            "hangup",
            "node_lost",
            "room_not_found",
            "room_locked",
            "room_full",
            "no_recording",
        ]
        | str
    )
    recording_id: str | None = None
    command_uid: str | None = None


class SessionPlayStarted(SessionData):
    operation_id: str
    urls: list[str]
    command_uid: str | None = None


class SessionPlayFinished(SessionData):
    operation_id: str
    status: Literal["completed", "partial", "failed", "interrupted"] | str
    results: list[PlayResult]
    command_uid: str | None = None


class SessionPlayStopped(SessionData):
    operation_id: str
    command_uid: str | None = None


class SessionDtmf(SessionData):
    """`digit`: empty on a stream of events. `in_room`: the room that the caller was in, if any."""

    digit: str
    duration_ms: int
    in_room: str | None = None


class SessionDigitsCollected(SessionData):
    """`digits`: empty on a stream of events. `terminator`: the one that was pressed, if any."""

    digits: str
    reason: Literal["max_digits", "terminator", "timeout", "hangup", "cancelled"] | str
    terminator: str | None = None
    command_uid: str | None = None


class SessionDtmfSent(SessionData):
    """`length`: how many digits and pauses."""

    length: int
    command_uid: str | None = None


RecordingStopReason = (
    Literal[
        "asked",
        "room_emptied",
        "room_destroyed",
        "hangup",
        "node_lost",
        "write_failed",
        "max_length",
        "no_answer",
        "not_confirmed",
        "node_unreachable",
    ]
    | str
)
RecordingFailure = (
    Literal[
        "no_members",
        "hangup",
        "refused",
        "no_answer",
        "not_confirmed",
        "node_unreachable",
        "write_failed",
        "file_lost",
        "node_lost",
        "not_stored",
        "quota_exceeded",
        "upload_failed",
    ]
    | str
)


class RecordingStarted(Data):
    """`channels`: of its file, 2 for stereo."""

    recording_id: str
    channels: int
    command_uid: str | None = None


class RecordingPaused(Data):
    recording_id: str
    command_uid: str | None = None


class RecordingResumed(Data):
    recording_id: str
    command_uid: str | None = None


class RecordingStopped(Data):
    """`duration` in seconds and `size` in bytes, as far as the media node has told them."""

    recording_id: str
    reason: RecordingStopReason
    duration: float | None = None
    size: int | None = None
    command_uid: str | None = None


class RecordingAvailable(Data):
    """`uploaded`: it is where you wanted it; if not, fetch it."""

    recording_id: str
    duration: float
    size: int
    uploaded: bool


class RecordingFailed(Data):
    """`http_status`: what the server of your `upload_url` responded with last."""

    recording_id: str
    reason: RecordingFailure
    http_status: int | None = None
    command_uid: str | None = None


class ConferenceRecordingStarted(RoomData, RecordingStarted): ...


class ConferenceRecordingPaused(RoomData, RecordingPaused): ...


class ConferenceRecordingResumed(RoomData, RecordingResumed): ...


class ConferenceRecordingStopped(RoomData, RecordingStopped): ...


class ConferenceRecordingAvailable(RoomData, RecordingAvailable): ...


class ConferenceRecordingFailed(RoomData, RecordingFailed): ...


class SessionRecordingStarted(SessionData, RecordingStarted): ...


class SessionRecordingPaused(SessionData, RecordingPaused): ...


class SessionRecordingResumed(SessionData, RecordingResumed): ...


class SessionRecordingStopped(SessionData, RecordingStopped): ...


class SessionRecordingAvailable(SessionData, RecordingAvailable): ...


class SessionRecordingFailed(SessionData, RecordingFailed): ...


class WebhookTest(Data):
    """`uuid`: the webhook's own id."""

    uuid: str


DATA: dict[str, type[Data]] = {
    "conference.created": ConferenceCreated,
    "conference.updated": ConferenceUpdated,
    "conference.destroyed": ConferenceDestroyed,
    "conference.member.joined": ConferenceMemberJoined,
    "conference.member.left": ConferenceMemberLeft,
    "conference.member.muted": ConferenceMemberMuted,
    "conference.member.unmuted": ConferenceMemberUnmuted,
    "conference.member.deafened": ConferenceMemberDeafened,
    "conference.member.undeafened": ConferenceMemberUndeafened,
    "conference.member.held": ConferenceMemberHeld,
    "conference.member.unheld": ConferenceMemberUnheld,
    "conference.member.updated": ConferenceMemberUpdated,
    "conference.member.volume_changed": ConferenceMemberVolumeChanged,
    "conference.member.coaching": ConferenceMemberCoaching,
    "conference.member.uncoached": ConferenceMemberUncoached,
    "conference.member.join_failed": ConferenceMemberJoinFailed,
    "conference.speaker.changed": ConferenceSpeakerChanged,
    "conference.command.failed": ConferenceCommandFailed,
    "conference.command.finished": ConferenceCommandFinished,
    "conference.play.started": ConferencePlayStarted,
    "conference.play.finished": ConferencePlayFinished,
    "conference.play.paused": ConferencePlayPaused,
    "conference.play.stopped": ConferencePlayStopped,
    "conference.play.volume_changed": ConferencePlayVolumeChanged,
    "conference.recording.started": ConferenceRecordingStarted,
    "conference.recording.paused": ConferenceRecordingPaused,
    "conference.recording.resumed": ConferenceRecordingResumed,
    "conference.recording.stopped": ConferenceRecordingStopped,
    "conference.recording.available": ConferenceRecordingAvailable,
    "conference.recording.failed": ConferenceRecordingFailed,
    "session.started": SessionStarted,
    "session.dialing": SessionDialing,
    "session.ringing": SessionRinging,
    "session.answered": SessionAnswered,
    "session.failed": SessionFailed,
    "session.transferred": SessionTransferred,
    "session.transfer_failed": SessionTransferFailed,
    "session.ended": SessionEnded,
    "session.command.failed": SessionCommandFailed,
    "session.play.started": SessionPlayStarted,
    "session.play.finished": SessionPlayFinished,
    "session.play.stopped": SessionPlayStopped,
    "session.dtmf": SessionDtmf,
    "session.dtmf.sent": SessionDtmfSent,
    "session.digits.collected": SessionDigitsCollected,
    "session.recording.started": SessionRecordingStarted,
    "session.recording.paused": SessionRecordingPaused,
    "session.recording.resumed": SessionRecordingResumed,
    "session.recording.stopped": SessionRecordingStopped,
    "session.recording.available": SessionRecordingAvailable,
    "session.recording.failed": SessionRecordingFailed,
    "webhook.test": WebhookTest,
}


class Webhook(Model):
    """`id`: the same at every attempt, so drop what you have seen. `timestamp`: when it happened."""

    id: str
    type: str
    timestamp: datetime
    data: SerializeAsAny[Data]


def parse(webhook_id: str, body: Mapping[str, Any]) -> Webhook:
    """A webhook from its body, as JSON has it. Raises InvalidWebhook."""
    try:
        data = DATA.get(body["type"], Data).model_validate(body["data"])
        return Webhook(id=webhook_id, type=body["type"], timestamp=body["timestamp"], data=data)
    except (KeyError, TypeError, ValidationError) as error:
        raise InvalidWebhook(f"not the body of a webhook: {error}") from error


class Verifier:
    """Checks signatures by `secret`, `whsec_...`. Raises ValueError if that is no secret."""

    def __init__(self, secret: str) -> None:
        try:
            self._standard = StandardWebhook(secret)
        except EmptyWebhookSecretError as error:
            raise ValueError(str(error)) from error

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Webhook:
        """`body`: the bytes as they came. `headers`: of the request, in upper or lower case. Raises InvalidWebhook."""
        given = {name.lower(): value for name, value in headers.items()}
        try:
            parsed = self._standard.verify(body, given)
        # A signature of another form, or a body that is no JSON, is a ValueError.
        except (WebhookVerificationError, ValueError) as error:
            raise InvalidWebhook(str(error)) from error
        return parse(given["webhook-id"], parsed)
