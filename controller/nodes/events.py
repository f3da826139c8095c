"""What happened on a node, in the past tense. Each is applied by the Lua file that `SCRIPTS` names.

`session_id` is what `ids.SessionIds` makes of the channel, `room_id` the conference's name, which is the room's id.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParked:
    """A call was answered and waits. `did`: the number dialled; `caller_id`: whatever the caller claims to be.

    `channel` is the channel's uuid, which nobody outside may know: not printed.
    """

    session_id: str
    channel: str = field(repr=False)
    did: str
    caller_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """`cause`: FreeSWITCH's name of the hangup cause, `NORMAL_CLEARING`. `node_lost`: the node has restarted since."""

    session_id: str
    cause: str
    node_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberJoined:
    """`channel`: as above, but "" for a call that the node has made itself. `flags`: those that are on, by name."""

    session_id: str
    channel: str = field(default="", repr=False, compare=False)
    room_id: str
    member_id: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLeft:
    """`cause`: the hangup cause when the call has ended, else empty: the member was taken out."""

    session_id: str
    room_id: str
    member_id: int
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagChanged:
    """A member's flag was turned on or off. FreeSWITCH repeats it for a member that was so already."""

    session_id: str
    room_id: str
    member_id: int
    flag: str
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDone:
    """The node is through with URL `index` of an operation: it ended, was stopped, or died with the room."""

    room_id: str
    operation_id: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAnswered:
    """The answer to a command. `reason`: why not, one of `translate.REFUSALS`, or `refused`, and then `text`
    is what the node said. `paused`: what a pause toggled to."""

    job: str
    ok: bool
    reason: str = ""
    text: str = ""
    paused: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallIntruded:
    """A call is where none of ours can be. `how`: in words; `address`: where it came from, "" when that is not known.

    It is to be hung up if it has a `channel`, "" for a call that the node has made itself, and kicked if it has a room.
    """

    session_id: str
    how: str
    address: str = ""
    channel: str = field(default="", repr=False)
    room_id: str = ""
    member_id: int = 0


Reported = SessionParked | SessionEnded | MemberJoined | MemberLeft | FlagChanged | FileDone
Occurrence = Reported | JobAnswered | CallIntruded

SCRIPTS: dict[type, str] = {
    SessionParked: "session_parked",
    SessionEnded: "session_ended",
    MemberJoined: "member_joined",
    MemberLeft: "member_left",
    FlagChanged: "flag_changed",
    FileDone: "file_done",
    JobAnswered: "answered",
}
