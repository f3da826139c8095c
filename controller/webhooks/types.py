"""Every type of webhook, and what its `data` holds.

The store's scripts write `data`. The OpenAPI document and the tables of docs/webhooks.md are made from these models,
and tests hold every webhook to its model. A model's docstring says when the webhook is sent; a field whose default is
None may be absent.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema

from controller.limits import MAX_VOLUME, MIN_VOLUME
from controller.media.reasons import REASONS as OF_FILES
from controller.room_options import OPTIONS, Kind
from controller.sessions.dialing import FAILURES
from controller.sessions.flags import CHANGES, Flag
from controller.sessions.levels import LEVELS, MAX_LEVEL, MIN_LEVEL
from controller.store.states import ROLES, SessionState, UrlState

RECORDING = "0f8fad5bd9cb469fa16570867728950e"
ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
SESSION = "acW68-7f3d2c1b-0a9e-4d8c-b7f6-5e4d3c2b1a09"
COACHED = "acW68-5e9b1f60-3c42-4a7d-9d18-2f6c8e0b7a54"
OPERATION = "a1b2c3d4-e5f6-4890-abcd-ef1234567890"
AUDIO = "https://cdn.example.com/announcement.wav"
TEST = "webhook.test"
FLAG_COMMANDS = tuple(flag.change(on).command for flag, on in CHANGES)
LEVEL_COMMANDS = tuple(level.name for level in LEVELS)
COACH_COMMANDS = ("coach", "uncoach")
RECORDING_COMMANDS = ("pause_recording", "resume_recording")
BEEPS = tuple(option.name for option in OPTIONS if option.kind is Kind.BEEP)


class OneOf:
    """Text that is one of `names`: a `Literal` whose names come from a table."""

    def __init__(self, *names: str) -> None:
        self._names = [str(name) for name in names]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(self._names)


RoomId = Annotated[str, Field(description="The room.", examples=[ROOM])]
SessionId = Annotated[str, Field(description="The session.", examples=[SESSION])]
Did = Annotated[str, Field(description="The number that was called.", examples=["747713001"])]
CallerId = Annotated[str, Field(description="The number of the caller.", examples=["527121102"])]
Direction = Annotated[
    Literal["inbound", "outbound"], Field(description="Whether it has called, or you have.", examples=["inbound"])
]
MemberId = Annotated[int, Field(description="The member's number on its media node.", examples=[7])]
Muted = Annotated[bool, Field(description="Whether the member is muted.", examples=[True])]
Deaf = Annotated[bool, Field(description="Whether the member is deaf: it hears nothing.", examples=[False])]
Hold = Annotated[
    bool,
    Field(description="Whether the member is on hold: it is not heard, and does not hear the room.", examples=[False]),
]
Waiting = Annotated[
    bool, Field(description="Whether the member waits for a moderator: it will be let in then.", examples=[False])
]
Coaching = Annotated[
    str | None,
    Field(
        description="The session by which alone the member is heard, if it coaches one, in the room or not.",
        examples=[None],
    ),
]
VolumeIn = Annotated[
    int,
    Field(ge=MIN_LEVEL, le=MAX_LEVEL, description="How loud the member is to the others; 0: unchanged.", examples=[2]),
]
VolumeOut = Annotated[
    int,
    Field(ge=MIN_LEVEL, le=MAX_LEVEL, description="How loud the room is to the member; 0: unchanged.", examples=[0]),
]
Role = Annotated[
    str, OneOf(*ROLES), Field(description="What the member is for your application.", examples=["participant"])
]
Tags = Annotated[list[str], Field(description="By what your application knows the member again.", examples=[["agent"]])]
EndOnExit = Annotated[bool, Field(description="Whether its join said `end_on_exit`.", examples=[False])]
CommandUid = Annotated[
    str,
    Field(
        default=None,
        description="The `command_uid` of the command that caused this; absent when it had none, or no command did.",
        examples=["mute-0042"],
    ),
]
OperationId = Annotated[
    str,
    Field(
        description="The id that `play` returned; empty when nothing was playing.",
        examples=[OPERATION],
    ),
]
RecordingId = Annotated[str, Field(description="The recording.", examples=[RECORDING])]
MaybeRecordingId = Annotated[
    str, Field(default=None, description="The recording, if the command was to one.", examples=[RECORDING])
]
Cause = Annotated[
    str,
    Field(
        description="The hangup cause, as FreeSWITCH names it; `UNKNOWN` for a call whose end was found out later.",
        examples=["NORMAL_CLEARING"],
    ),
]
# Beside a `reason`.
MaybeCause = Annotated[
    str,
    Field(default=None, description="The hangup cause, if it is one and known.", examples=["NORMAL_CLEARING"]),
]

# Every `reason` that a webhook may give.
REASONS = {
    "deleted": "The room was deleted through the API.",
    "empty": "Nobody was in the room for `end_when_empty` seconds.",
    "max_duration": "The first member joined `max_duration` seconds ago.",
    "end_on_exit": "The last of those members has left whose exit ends the room.",
    "left": "A leave command took the member out.",
    "transferring": "A transfer command took the member out. What became of it follows.",
    "kicked": "A kick command or the media node's operator took the member out; `kicked_by` says which.",
    "hangup": "The call has ended.",
    "room_destroyed": "The room was deleted.",
    "node_lost": "The media node has restarted, and its calls are gone.",
    "not_confirmed": "The media node did not confirm it within 10 s.",
    "refused": "The media node refused it; the operator's event log has its message.",
    "no_answer": "The media node did not answer, or the connection to it was lost meanwhile.",
    "node_unreachable": "The command could not be sent to the media node in time.",
    "max_digits": "As many digits were pressed as were wanted.",
    "terminator": "The caller pressed one of the terminators.",
    "cancelled": "Digits of the same session began to be collected anew.",
    "bridge_failed": "The media node of the call got no connection to that of the room.",
    "room_not_found": "The room was deleted before the call was answered.",
    "room_locked": "The room was locked when the call was answered.",
    "room_full": "The room was full when the call was answered.",
    "no_member": "The member was out of the room already.",
    "no_members": "Nobody was in the room.",
    "not_playing": "Nothing was playing.",
    "no_recording": "The recording had ended already.",
    **OF_FILES,
    "unplayable": "The media node could not play the file, and does not tell why.",
    "asked": "You stopped it.",
    "room_emptied": "The last one has left the room, or its media node.",
    "write_failed": "The media node could not write the file any more: its disk may be full.",
    "max_length": "It was as long as a recording may be.",
    "file_lost": "The media node has no such file: nothing was recorded.",
    "not_stored": "No relay could take the file in time.",
    "quota_exceeded": "The room has the option `record`, and a quota is used up. It was not begun, and is not kept.",
    "upload_failed": "It could not be put to your `upload_url` within a day.",
    "interrupted": "The file was not played to its end: the room was deleted or emptied, its media node was lost, or"
    " the session that alone was to hear it joined a room, left one, or ended.",
}


COUNTS = "Counts the webhooks of the room, or of the session outside rooms, from 1."
First = Annotated[int, Field(ge=1, description=COUNTS, examples=[1])]


class Data(BaseModel):
    """The fields of every webhook."""

    app_id: Annotated[str, Field(description="Your application.", examples=["demo"])]
    sequence: Annotated[int, Field(ge=1, description=COUNTS, examples=[7])]
    resynced: Annotated[
        Literal[True],
        Field(default=None, description="Present when a comparison with the media node found this, not an event."),
    ]


class RoomData(Data):
    """The fields of every webhook of a room."""

    room_id: RoomId


class MemberData(RoomData):
    """The fields of every webhook about a member."""

    uuid: SessionId
    did: Did
    caller_id: CallerId
    muted: Muted
    deaf: Deaf
    hold: Hold
    waiting: Waiting
    coaching: Coaching
    volume_in: VolumeIn
    volume_out: VolumeOut
    role: Role
    tags: Tags
    end_on_exit: EndOnExit
    command_uid: CommandUid


class SessionData(Data):
    """The fields of every webhook of a session outside rooms."""

    uuid: SessionId
    did: Did
    caller_id: CallerId


_OPTION: dict[str, Any] = {
    option.name: Field(description=option.description, examples=[option.example]) for option in OPTIONS
}
RoomName = Annotated[str, Field(description="The room's name.", examples=["weekly-standup"])]


class ConferenceCreated(RoomData):
    """The room was created."""

    sequence: First
    name: RoomName


class ConferenceUpdated(RoomData):
    """Options of the room have changed. It has all of them as they are now."""

    name: RoomName
    max_members: Annotated[int | None, _OPTION["max_members"]]
    locked: Annotated[bool, _OPTION["locked"]]
    end_when_empty: Annotated[int | None, _OPTION["end_when_empty"]]
    max_duration: Annotated[int | None, _OPTION["max_duration"]]
    tags: Annotated[list[str], _OPTION["tags"]]
    end_on_exit: Annotated[Annotated[str, OneOf(*ROLES)] | None, _OPTION["end_on_exit"]]
    wait_for_moderator: Annotated[bool, _OPTION["wait_for_moderator"]]
    hold_music: Annotated[str | None, _OPTION["hold_music"]]
    beep_enter: Annotated[str | None, _OPTION["beep_enter"]]
    beep_exit: Annotated[str | None, _OPTION["beep_exit"]]
    record: Annotated[bool, _OPTION["record"]]
    speaker_events: Annotated[bool, _OPTION["speaker_events"]]


class ConferenceDestroyed(RoomData):
    """The room was deleted. A `conference.member.left` for each of its members follows."""

    name: RoomName
    reason: Annotated[Literal["deleted", "empty", "max_duration", "end_on_exit"], Field(description="Why.")]
    duration: Annotated[
        int, Field(ge=0, description="Seconds since its first member joined; 0 if none did.", examples=[1260])
    ]
    peak_members: Annotated[int, Field(ge=0, description="The most members that there were at once.", examples=[9])]


class ConferenceMemberJoined(MemberData):
    """The media node confirmed the join."""

    member_id: MemberId


class ConferenceMemberLeft(MemberData):
    """The member is out."""

    member_id: MemberId
    reason: Annotated[
        Literal["left", "kicked", "transferring", "hangup", "room_destroyed", "node_lost"], Field(description="Why.")
    ]
    cause: MaybeCause
    kicked_by: Annotated[
        Literal["app", "node"],
        Field(default=None, description="Beside `kicked`: your kick command, or the media node's operator."),
    ]
    kick_reason: Annotated[
        str, Field(default=None, description="What the kick command gave as its reason.", examples=["Off topic"])
    ]


def _flag_changed(flag: Flag, on: bool) -> type[MemberData]:
    """The webhook that a flag of a member has changed."""
    state = flag.is_what if on else f"no longer {flag.is_what}"
    value = Annotated[bool, Field(description=MemberData.model_fields[flag.name].description, examples=[on])]
    fields: dict[str, Any] = {"member_id": (MemberId, ...), flag.name: (value, ...)}
    return create_model(
        f"ConferenceMember{flag.change(on).done.capitalize()}",
        __base__=MemberData,
        __doc__=f"The media node confirmed that the member is {state}.",
        **fields,
    )


class ConferenceSpeakerChanged(MemberData):
    """This member has the floor now. Only of rooms with `speaker_events`, and at most two a second."""

    member_id: MemberId


class ConferenceMemberUpdated(MemberData):
    """Its role or tags have changed. It has them as they are now."""

    member_id: MemberId


class ConferenceMemberVolumeChanged(MemberData):
    """The media node confirmed a volume of the member."""

    member_id: MemberId


class ConferenceMemberCoaching(MemberData):
    """The media node confirmed that the member is heard by one other alone."""

    member_id: MemberId
    coaching: Annotated[str, Field(description="The session by which it is heard.", examples=[COACHED])]


class ConferenceMemberUncoached(MemberData):
    """The media node confirmed that the member is heard by all again."""

    member_id: MemberId


class ConferenceMemberJoinFailed(MemberData):
    """The join came to nothing."""

    reason: Annotated[
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
        ],
        Field(description="Why."),
    ]
    cause: MaybeCause


class ConferenceCommandFailed(RoomData):
    """A command that had been accepted came to nothing."""

    command: Annotated[
        str,
        OneOf(
            *("play", "pause", "leave", "kick", *COACH_COMMANDS),
            *(*FLAG_COMMANDS, *LEVEL_COMMANDS, *RECORDING_COMMANDS, *BEEPS),
        ),
        Field(description="The command; or the option that has a beep whose file is not heard."),
    ]
    reason: Annotated[
        str,
        OneOf(
            *("not_confirmed", "refused", "no_answer", "node_unreachable", "no_member", "no_members", "not_playing"),
            *("no_recording", "unplayable", *OF_FILES),
        ),
        Field(description="Why."),
    ]
    recording_id: MaybeRecordingId
    # Absent from here on when the command was about no member.
    uuid: Annotated[SessionId, Field(default=None)]
    did: Annotated[Did, Field(default=None)]
    caller_id: Annotated[CallerId, Field(default=None)]
    muted: Annotated[Muted, Field(default=None)]
    deaf: Annotated[Deaf, Field(default=None)]
    hold: Annotated[Hold, Field(default=None)]
    waiting: Annotated[Waiting, Field(default=None)]
    coaching: Annotated[Coaching, Field(default=None)]
    volume_in: Annotated[VolumeIn, Field(default=None)]
    volume_out: Annotated[VolumeOut, Field(default=None)]
    role: Annotated[Role, Field(default=None)]
    tags: Annotated[Tags, Field(default=None)]
    end_on_exit: Annotated[EndOnExit, Field(default=None)]
    member_id: Annotated[MemberId, Field(default=None)]
    command_uid: CommandUid


class FailedMember(BaseModel):
    uuid: SessionId
    reason: Annotated[
        Literal["not_confirmed", "refused", "no_answer", "node_unreachable", "no_member"], Field(description="Why.")
    ]


class SkippedMember(BaseModel):
    uuid: SessionId
    reason: Annotated[
        str,
        OneOf("already_playing", *dict.fromkeys(flag.change(on).refused_pending for flag, on in CHANGES)),
        Field(description="What the command to it alone would have been refused with."),
    ]


class ConferenceCommandFinished(RoomData):
    """A command to all members is done. Each member that it changed, or failed for, has had a webhook before."""

    operation_id: Annotated[str, Field(description="The id that the command returned.", examples=[OPERATION])]
    command: Annotated[str, OneOf(*FLAG_COMMANDS, "kick"), Field(description="What was to be done with each member.")]
    changed: Annotated[int, Field(ge=0, description="How many members were changed, or are out.", examples=[41])]
    failed: Annotated[int, Field(ge=0, description="For how many it failed.", examples=[1])]
    failed_members: Annotated[
        list[FailedMember], Field(description="The first 100 of these, each with `uuid` and `reason`.")
    ]
    skipped: Annotated[
        int, Field(ge=0, description="How many could not be asked, though they are not so yet.", examples=[0])
    ]
    skipped_members: Annotated[
        list[SkippedMember],
        Field(description="The first 100 of these, each with `uuid` and, as `reason`, why a command to it is refused."),
    ]


class ConferencePlayStarted(RoomData):
    """Playback was accepted."""

    operation_id: OperationId
    urls: Annotated[list[str], Field(description="What will play, in this order.", examples=[[AUDIO]])]


class PlayResult(BaseModel):
    """What became of one URL. `reason` and `http_status` are absent when it was played."""

    url: Annotated[str, Field(description="The URL.", examples=[AUDIO])]
    status: Annotated[
        str, OneOf(UrlState.PLAYED, UrlState.FAILED), Field(description="Whether it was played to its end.")
    ]
    reason: Annotated[
        str,
        OneOf(*OF_FILES, "unplayable", "no_members", "refused", "no_answer", "node_unreachable", "interrupted"),
        Field(default=None, description="Why it failed; absent when it was played."),
    ]
    http_status: Annotated[
        int, Field(default=None, description="What its server responded with, for `not_found`.", examples=[404])
    ]


PlayStatus = Annotated[
    Literal["completed", "partial", "failed", "interrupted"],
    Field(description="Whether all URLs were played, some, or none; or it was cut short."),
]
PlayResults = Annotated[list[PlayResult], Field(description="What became of each URL, in their order.")]


class ConferencePlayFinished(RoomData):
    """The last URL of a playback is done, or the playback was interrupted."""

    operation_id: OperationId
    status: PlayStatus
    results: PlayResults


class ConferencePlayPaused(RoomData):
    """Playback was paused, or goes on."""

    operation_id: OperationId
    paused: Annotated[bool, Field(description="`true`: it is paused. `false`: it goes on.", examples=[True])]


class ConferencePlayStopped(RoomData):
    """A stop has ended this playback; no `conference.play.finished` follows. It sends one for each, in order."""

    operation_id: OperationId


class ConferencePlayVolumeChanged(RoomData):
    """The volume was set."""

    operation_id: OperationId
    volume: Annotated[int, Field(ge=MIN_VOLUME, le=MAX_VOLUME, description="The new volume.", examples=[2])]


class SessionStarted(SessionData):
    """A call has arrived."""

    sequence: First
    direction: Direction
    state: Annotated[
        str, OneOf(SessionState.PARKED), Field(description="What it does: it waits to be joined to a room.")
    ]


class SessionDialing(SessionData):
    """You make a call. `did` is the number that is called, and `caller_id` yours."""

    sequence: First
    direction: Direction
    command_uid: CommandUid


class SessionRinging(SessionData):
    """The call that you make rings. Not every gateway tells, so it may not come."""

    command_uid: CommandUid


class SessionAnswered(SessionData):
    """The call that you have made was answered. It waits to be joined to a room, or joins the one that you gave."""

    command_uid: CommandUid


FailureWord = Annotated[str, OneOf(*FAILURES), Field(description="Why, in a word.")]
HangupCause = Annotated[
    str,
    Field(default=None, description="The hangup cause, as FreeSWITCH names it, if known.", examples=["USER_BUSY"]),
]


class SessionFailed(SessionData):
    """The call that you have made was not answered. The session is over."""

    cause: FailureWord
    hangup_cause: HangupCause
    command_uid: CommandUid
    cancelled_by: Annotated[
        str,
        Field(default=None, description="The `command_uid` of the hang-up that cancelled it.", examples=["bye-0042"]),
    ]


class TransferData(SessionData):
    """The fields of the webhooks about a transfer."""

    to: Annotated[
        str, Field(description="The number or SIP URI that it was transferred to.", examples=["+493012345678"])
    ]
    shown_as: Annotated[str, Field(description="The number that was shown there.", examples=["+493098765432"])]
    command_uid: CommandUid


class SessionTransferred(TransferData):
    """The number has answered, and the call is connected to it. The end of one ends the other, with `session.ended`."""


class SessionTransferFailed(TransferData):
    """The number has not answered. The call is parked again, if it has not ended, or has never left its room."""

    cause: FailureWord
    hangup_cause: HangupCause


class SessionEnded(SessionData):
    """The call has hung up, or was hung up by you."""

    direction: Direction
    cause: Cause
    command_uid: CommandUid
    duration: Annotated[int, Field(ge=0, description="How long the call was, in seconds.", examples=[42])]


class SessionCommandFailed(SessionData):
    """A command to the session that had been accepted came to nothing. The call goes on, if it has not ended before."""

    command: Annotated[
        str,
        OneOf("hang_up", "dtmf", "play", "join", *RECORDING_COMMANDS),
        Field(description="The command; `join` is that of a call that you made. Of `session.command.failed`."),
    ]
    reason: Annotated[
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
        ],
        Field(description="Why."),
    ]
    recording_id: MaybeRecordingId
    command_uid: CommandUid


class SessionPlayStarted(SessionData):
    """A play to the session was accepted."""

    operation_id: OperationId
    urls: Annotated[list[str], Field(description="What will play, in this order.", examples=[[AUDIO]])]
    command_uid: CommandUid


class SessionPlayFinished(SessionData):
    """The last URL of a play to the session is done, or the session has joined or left a room, or ended before."""

    operation_id: OperationId
    status: PlayStatus
    results: PlayResults
    command_uid: CommandUid


class SessionPlayStopped(SessionData):
    """A stop has ended what was played to the session; no `session.play.finished` follows."""

    operation_id: OperationId
    command_uid: CommandUid


class SessionDtmf(SessionData):
    """The caller has pressed a key. Only if the endpoint's `types` name this type in full."""

    digit: Annotated[
        str,
        Field(
            pattern="^[0-9A-D*#]?$",
            description="The key: `0`-`9`, `A`-`D`, `*` or `#`. Empty on the stream of events.",
            examples=["5"],
        ),
    ]
    duration_ms: Annotated[int, Field(ge=0, description="How long it was pressed, in milliseconds.", examples=[160])]
    in_room: Annotated[
        str, Field(default=None, description="The room that the caller was in, if any.", examples=[ROOM])
    ]


class SessionDigitsCollected(SessionData):
    """Digits were collected, and no more come."""

    digits: Annotated[
        str,
        Field(
            pattern="^[0-9A-D*#]*$",
            description="What the caller pressed, without the terminator. Empty on the stream of events.",
            examples=["4711"],
        ),
    ]
    reason: Annotated[Literal["max_digits", "terminator", "timeout", "hangup", "cancelled"], Field(description="Why.")]
    terminator: Annotated[
        str, Field(default=None, description="Which of the terminators was pressed, if one was.", examples=["#"])
    ]
    command_uid: CommandUid


class SessionDtmfSent(SessionData):
    """The media node has taken your digits, and sends them to the far end, one after the other."""

    length: Annotated[int, Field(ge=1, description="How many digits and pauses they are.", examples=[6])]
    command_uid: CommandUid


_LENGTH = "How long the recording is, in seconds, without its pauses"
_SIZE = "How large its file is, in bytes"
RecordingSequence = Annotated[
    int, Field(ge=1, description="Counts the webhooks of the recording, from 1.", examples=[2])
]
STOP_REASONS = (
    *("asked", "room_emptied", "room_destroyed", "hangup", "node_lost", "write_failed", "max_length"),
    *("no_answer", "not_confirmed", "node_unreachable"),
)
RECORDING_REASONS = (
    *("no_members", "hangup", "refused", "no_answer", "not_confirmed", "node_unreachable", "write_failed"),
    *("file_lost", "node_lost", "not_stored", "upload_failed", "quota_exceeded"),
)

# By what the webhook's type ends with: when it is sent, and its fields besides those of all.
_RECORDING: dict[str, tuple[str, dict[str, Any]]] = {
    "started": (
        "The media node confirmed that it records.",
        {
            "channels": (
                Annotated[int, Field(ge=1, le=2, description="Of its file: 2 is for stereo.", examples=[1])],
                ...,
            ),
            "command_uid": (CommandUid, None),
        },
    ),
    "paused": (
        "The media node confirmed that it records nothing until it resumes.",
        {"command_uid": (CommandUid, None)},
    ),
    "resumed": ("The media node confirmed that it records again.", {"command_uid": (CommandUid, None)}),
    "stopped": (
        "The recording has ended. Its file is on its way.",
        {
            "reason": (Annotated[str, OneOf(*STOP_REASONS), Field(description="Why.")], ...),
            "duration": (
                Annotated[float, Field(default=None, ge=0, description=f"{_LENGTH}, if known.", examples=[61.24])],
                None,
            ),
            "size": (
                Annotated[int, Field(default=None, ge=0, description=f"{_SIZE}, if known.", examples=[979884])],
                None,
            ),
            "command_uid": (CommandUid, None),
        },
    ),
    "available": (
        "The file can be fetched, or is where you wanted it.",
        {
            "duration": (Annotated[float, Field(ge=0, description=f"{_LENGTH}.", examples=[61.24])], ...),
            "size": (Annotated[int, Field(ge=0, description=f"{_SIZE}.", examples=[979884])], ...),
            "uploaded": (
                Annotated[bool, Field(description="Whether it was put to your `upload_url`.", examples=[False])],
                ...,
            ),
        },
    ),
    "failed": (
        "Nothing was recorded, or the file is lost, or could not be put to your `upload_url`.",
        {
            "reason": (Annotated[str, OneOf(*RECORDING_REASONS), Field(description="Why.")], ...),
            "http_status": (
                Annotated[
                    int, Field(default=None, description="What your server responded with last.", examples=[403])
                ],
                None,
            ),
            "command_uid": (CommandUid, None),
        },
    ),
}


def _recording(base: type[Data], what: str, step: str) -> type[Data]:
    """The webhook that a recording of a room or session has taken a step."""
    when, fields = _RECORDING[step]
    return create_model(
        f"{what.capitalize()}Recording{step.capitalize()}",
        __base__=base,
        __doc__=when,
        sequence=(RecordingSequence, ...),
        recording_id=(RecordingId, ...),
        **fields,
    )


class WebhookTest(Data):
    """You asked for it with `POST /api/v1/webhooks/endpoint/test`."""

    uuid: Annotated[str, Field(description="The webhook's own id.", examples=["msg_test-p07-1795374235886-0"])]


DATA: dict[str, type[Data]] = {
    "conference.created": ConferenceCreated,
    "conference.updated": ConferenceUpdated,
    "conference.destroyed": ConferenceDestroyed,
    "conference.member.joined": ConferenceMemberJoined,
    "conference.member.left": ConferenceMemberLeft,
    **{flag.change(on).webhook: _flag_changed(flag, on) for flag, on in CHANGES},
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
    **{f"conference.recording.{step}": _recording(RoomData, "conference", step) for step in _RECORDING},
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
    **{f"session.recording.{step}": _recording(SessionData, "session", step) for step in _RECORDING},
    TEST: WebhookTest,
}

# Those that an endpoint may choose and deliveries can be listed by. A test is sent whatever was chosen, and not listed.
TYPES = tuple(type_ for type_ in DATA if type_ != TEST)

# Those that nobody gets who does not name them: there may be many, and they may be secret.
ONLY_IF_NAMED = frozenset(("session.dtmf",))
