"""What has happened on a node. An event that changes the store's state names the script that does so.

`session_id` is what `SessionIds` makes of the channel; `room_id` is the conference's name, which is the room's id.
A channel's uuid must not become known outside (see `SessionIds`), so it is not printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

# The hangup cause of a call whose end was not seen.
UNKNOWN_CAUSE = "UNKNOWN"
# Reasons of CallIntruded.
ASKED_FOR_ANOTHER_CALL = "asked for another call"
JOINED_UNASKED = "joined a room unasked"
WAS_BRIDGED = "was bridged"
DIALLED_BY_NOBODY = "was dialled, and is no session"
IN_ANOTHER_CONFERENCE = "is in a conference that is no room"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParked:
    """A call was answered and waits. `did`: the number dialled; `caller_id`: whatever the caller claims to be."""

    script: ClassVar[str] = "session_parked"

    session_id: str
    channel: str = field(repr=False)
    did: str
    caller_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFound:
    """A comparison has found a call that is no session; in a room, if `room_id` is not "". Many are one step."""

    script: ClassVar[str] = "sessions_found"

    session_id: str
    channel: str = field(repr=False)
    did: str
    caller_id: str
    room_id: str = ""
    member_id: int = 0
    flags: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRinging:
    """A call that an app has made rings."""

    script: ClassVar[str] = "session_ringing"

    session_id: str
    channel: str = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAnswered:
    """A call that an app has made was answered, and waits; also when it has left a room."""

    script: ClassVar[str] = "session_answered"

    session_id: str
    channel: str = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTransferred:
    """The number to which a call was transferred has answered. `leg`: the channel of the call to it."""

    script: ClassVar[str] = "session_transferred"

    session_id: str
    leg: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOver:
    """A call that was transferred goes on without the number, whose call is over, or has not come about. `cause`: the
    hangup cause of that. Also, once more, when the call has left a room later.
    """

    script: ClassVar[str] = "transfer_over"

    session_id: str
    leg: str = field(repr=False)
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """`cause`: FreeSWITCH's name of the hangup cause, `NORMAL_CLEARING`. `node_lost`: the node has restarted since."""

    script: ClassVar[str] = "session_ended"

    session_id: str
    cause: str
    node_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberJoined:
    """`channel` is "" for a call that the node has made itself, for no app. `flags`: the names of those that are on."""

    script: ClassVar[str] = "member_joined"

    session_id: str
    channel: str = field(default="", repr=False, compare=False)
    room_id: str
    member_id: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLeft:
    """`cause`: the hangup cause if the call has ended, "" if the member was taken out."""

    script: ClassVar[str] = "member_left"

    session_id: str
    room_id: str
    member_id: int
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagChanged:
    """A member's flag was turned on or off. FreeSWITCH repeats it for a member that was so already."""

    script: ClassVar[str] = "flag_changed"

    session_id: str
    room_id: str
    member_id: int
    flag: str
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitPressed:
    """The far end of a call has pressed a key. `number`: of the event, which grows as long as the node runs.

    The digit is not printed: it may be of a PIN.
    """

    script: ClassVar[str] = "digit_pressed"

    session_id: str
    digit: str = field(repr=False)
    duration_ms: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChanged:
    """A level of a member was set, maybe to what it was. `level`: its name."""

    script: ClassVar[str] = "level_changed"

    session_id: str
    room_id: str
    member_id: int
    level: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationsLost:
    """A coach is heard by others than the member that it coaches, or not by that one."""

    script: ClassVar[str] = "relations_lost"

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LegJoined:
    """A leg of a room is a member of the room's conference on this node. `leg`: its id, which is its channel's uuid."""

    script: ClassVar[str] = "leg_joined"

    leg: str = field(repr=False)
    room_id: str
    member_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LegLeft:
    """It is none any more. `cause`: the hangup cause, "" if it was taken out."""

    script: ClassVar[str] = "leg_left"

    leg: str = field(repr=False)
    room_id: str
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDone:
    """The node is done with URL `index` of an operation: it ended, was stopped, or went with the room. `samples`: how
    much of it was played, if the node says so.
    """

    script: ClassVar[str] = "file_done"

    room_id: str
    operation_id: str
    index: int
    samples: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestBegan:
    """The node has gone on to the second part of URL `index` of an operation."""

    script: ClassVar[str] = "rest_began"

    room_id: str
    operation_id: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFileDone:
    """The node is done with URL `index` of what it plays to a session alone: it ended or was stopped, or was not played
    for that `reason`: `unplayable`, or `relay_lost`.
    """

    script: ClassVar[str] = "session_file_done"

    session_id: str
    operation_id: str
    index: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlayLost:
    """The node does not play that URL any more, and how it ended was missed."""

    script: ClassVar[str] = "session_play_lost"

    session_id: str
    operation_id: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingStarted:
    """The node records, or cannot write the file (`failed`)."""

    script: ClassVar[str] = "recording_started"

    recording_id: str
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingChanged:
    """A recording was `paused`, or `resumed`: `done`."""

    script: ClassVar[str] = "recording_changed"

    recording_id: str
    done: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingEnded:
    """The node records no more. `length_ms`, `size`: of the file, as far as they are known. `hung_up`: the call that
    was recorded has ended. `node_lost`: the node has restarted since.
    """

    script: ClassVar[str] = "recording_ended"

    recording_id: str
    length_ms: int | None = None
    size: int | None = None
    hung_up: bool = False
    node_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDone:
    """The result of a command. If not `ok`: `reason` is one of `translate.FAILURES`; or `refused`, and then `text` is
    what the node said; or why a file could not be prepared (`media.reasons`), and then `http_status` may be that of its
    server's response. `paused`: what a pause toggled to.
    """

    script: ClassVar[str] = "job_done"

    job: str
    ok: bool
    reason: str = ""
    text: str = ""
    http_status: int | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallIntruded:
    """A call does what no session can. `reason`: in words; `address`: where it came from, "" if that is not known.

    It is to be hung up if it has a `channel`, which is "" for a call that the node has made itself, and taken out of
    the room if it has a `room_id`.
    """

    session_id: str
    reason: str
    address: str = ""
    channel: str = field(default="", repr=False)
    room_id: str = ""
    member_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Talked:
    """A member has started to talk, or stopped. It changes no state, and comes only while that is asked for."""

    session_id: str
    room_id: str
    member_id: int
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakersChanged:
    """Who speaks in a room on the node, the first to begin in front; it counts for `ttl` milliseconds."""

    script: ClassVar[str] = "speakers_changed"

    room_id: str
    sessions: tuple[str, ...]
    ttl: int


DialEvent = SessionRinging | SessionAnswered
TransferEvent = SessionTransferred | TransferOver
SessionEvent = (
    SessionParked
    | SessionFound
    | DialEvent
    | TransferEvent
    | SessionEnded
    | MemberJoined
    | MemberLeft
    | FlagChanged
    | DigitPressed
    | LevelChanged
    | RelationsLost
    | SessionFileDone
    | SessionPlayLost
)
LegEvent = LegJoined | LegLeft
RoomEvent = FileDone | RestBegan | LegEvent | SpeakersChanged
RecordingEvent = RecordingStarted | RecordingChanged | RecordingEnded
StateEvent = SessionEvent | RoomEvent | RecordingEvent | JobDone
NodeEvent = StateEvent | CallIntruded | Talked
