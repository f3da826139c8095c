"""Every state of a session, a room's playback, a URL of a playback, a bridge leg, a recording and a delivery, and every
step.

A table is `{state: {event: state}}`. A thing begins in the first state of its table; a state without events is final.
The Lua files get the same tables (see `prelude`) and take every step by them: a step that they lack is an error.
"""

from __future__ import annotations

from enum import StrEnum

Table = dict[str, dict[str, str]]


class SessionState(StrEnum):
    DIALING = "dialing"  # to be answered by whoever the app has called
    PARKED = "parked"  # in no room
    JOINING = "joining"  # to be put into a room; the node has not confirmed it
    JOINED = "joined"  # in a room
    LEAVING = "leaving"  # to be taken out of its room; the node has not confirmed it
    TRANSFERRING = "transferring"  # to be connected to a number, which has not answered
    TRANSFERRED = "transferred"  # connected to a number
    ENDED = "ended"  # the call has hung up, and the store forgets the session


class PlaybackState(StrEnum):
    STOPPED = "stopped"  # no operation plays or waits
    PLAYING = "playing"
    PAUSED = "paused"


class UrlState(StrEnum):
    PENDING = "pending"  # not sent to the node
    SENT = "sent"  # the node has not said whether it takes it
    QUEUED = "queued"  # the node plays it, or will
    PLAYED = "played"
    FAILED = "failed"


class LegState(StrEnum):
    DOWN = "down"  # to be dialled when it is due
    DIALING = "dialing"  # to be up; its two nodes have not both confirmed it
    CONNECTED = "connected"


class RecordingState(StrEnum):
    STARTING = "starting"  # the node has not confirmed it
    RECORDING = "recording"
    PAUSED = "paused"
    STOPPING = "stopping"  # the node has not confirmed that it has ended
    STORING = "storing"  # it has ended, and its file is on the node, or on its way to a relay
    UPLOADING = "uploading"  # a relay has it, and puts it where the app wants it
    AVAILABLE = "available"  # the app can have it, or has it
    EXPIRED = "expired"  # its file was kept for as long as files are
    FAILED = "failed"  # nothing was recorded, it was lost, or could not be put where the app wanted it


class DeliveryState(StrEnum):
    PENDING = "pending"  # not attempted
    HELD = "held"  # to be tried again; later webhooks of its ordering key wait for it
    ASIDE = "aside"  # in the retry queue, to be tried again; no other webhook waits for it
    DELIVERED = "delivered"
    FAILED = "failed"  # not tried again unless the app asks for it
    SKIPPED = "skipped"  # the app does not want its type, and the store forgets it


# A session begins as dialing if the app has made the call, else as parked. `answered`: whoever was called has answered.
# `failed`: nobody has, or the app has hung up before.
# `join`, `leave`: the app's command. `joined`, `left`: what the node says, after a command, when its operator moved the
# member, or when the call has ended. `join_failed`, `leave_failed`: the node refused the command or did not confirm it,
# or there is nothing left to join. `transfer`: the app's command. `transferred`: the number has answered.
# `transfer_failed`: it has not, and the node has parked the call. `transfer_refused`: so the node was not even told, or
# refused it, and the call is in its room. `ended`: the call has hung up; it has left its room before.
SESSION: Table = {
    SessionState.DIALING: {"answered": SessionState.PARKED, "failed": SessionState.ENDED},
    SessionState.PARKED: {
        "join": SessionState.JOINING,
        "joined": SessionState.JOINED,
        "transfer": SessionState.TRANSFERRING,
        "ended": SessionState.ENDED,
    },
    SessionState.JOINING: {"joined": SessionState.JOINED, "join_failed": SessionState.PARKED},
    SessionState.JOINED: {
        "leave": SessionState.LEAVING,
        "left": SessionState.PARKED,
        "transfer": SessionState.TRANSFERRING,
    },
    SessionState.LEAVING: {"leave_failed": SessionState.JOINED, "left": SessionState.PARKED},
    SessionState.TRANSFERRING: {
        "left": SessionState.TRANSFERRING,
        "transferred": SessionState.TRANSFERRED,
        "transfer_failed": SessionState.PARKED,
        "transfer_refused": SessionState.JOINED,
    },
    SessionState.TRANSFERRED: {"transfer_failed": SessionState.PARKED, "ended": SessionState.ENDED},
    SessionState.ENDED: {},
}

# `play`: a room's first operation begins. `next`: an operation is over, and another begins. `finish`: the last one is
# over. `pause`, `resume`: the app's command, or the node toggled the wrong way, which may become known
# only after the app's next command.
PLAYBACK: Table = {
    PlaybackState.STOPPED: {"play": PlaybackState.PLAYING},
    PlaybackState.PLAYING: {
        "next": PlaybackState.PLAYING,
        "pause": PlaybackState.PAUSED,
        "resume": PlaybackState.PLAYING,
        "finish": PlaybackState.STOPPED,
    },
    PlaybackState.PAUSED: {
        "next": PlaybackState.PAUSED,
        "pause": PlaybackState.PAUSED,
        "resume": PlaybackState.PLAYING,
        "finish": PlaybackState.STOPPED,
    },
}

# `send`: the node is asked to play it. `queue`: the node takes it. `finish`: the node is done with it, which may be
# known before the result of the play. `fail`: the node does not take it, or the operation ends early.
URL: Table = {
    UrlState.PENDING: {"send": UrlState.SENT, "fail": UrlState.FAILED},
    UrlState.SENT: {"queue": UrlState.QUEUED, "finish": UrlState.PLAYED, "fail": UrlState.FAILED},
    UrlState.QUEUED: {"finish": UrlState.PLAYED, "fail": UrlState.FAILED},
    UrlState.PLAYED: {},
    UrlState.FAILED: {},
}

# `dial`: an attempt begins, with a new id. `joined`: both nodes have the leg as a member. `fail`: the attempt did not
# get so far. `left`: one of the nodes has the leg no more.
LEG: Table = {
    LegState.DOWN: {"dial": LegState.DIALING},
    LegState.DIALING: {"joined": LegState.CONNECTED, "fail": LegState.DOWN, "left": LegState.DOWN},
    LegState.CONNECTED: {"left": LegState.DOWN},
}

# `started`, `paused`, `resumed`: what the node says. `stop`: the app's command, or the end of what is recorded.
# `ended`: the node is done with it, by whatever cause. `stored`: a relay has the file, and has nowhere to put it;
# `upload`: it has. `uploaded`: it is there. `expired`, `failed`: as the states.
RECORDING: Table = {
    RecordingState.STARTING: {
        "started": RecordingState.RECORDING,
        "stop": RecordingState.STOPPING,
        "ended": RecordingState.STORING,
        "failed": RecordingState.FAILED,
    },
    RecordingState.RECORDING: {
        "paused": RecordingState.PAUSED,
        "stop": RecordingState.STOPPING,
        "ended": RecordingState.STORING,
    },
    RecordingState.PAUSED: {
        "resumed": RecordingState.RECORDING,
        "stop": RecordingState.STOPPING,
        "ended": RecordingState.STORING,
    },
    RecordingState.STOPPING: {"ended": RecordingState.STORING, "failed": RecordingState.FAILED},
    RecordingState.STORING: {
        "stored": RecordingState.AVAILABLE,
        "upload": RecordingState.UPLOADING,
        "failed": RecordingState.FAILED,
    },
    RecordingState.UPLOADING: {"uploaded": RecordingState.AVAILABLE, "failed": RecordingState.FAILED},
    RecordingState.AVAILABLE: {"expired": RecordingState.EXPIRED},
    RecordingState.EXPIRED: {},
    RecordingState.FAILED: {},
}

# The event of an attempt has the name of the state that it leads to. `redeliver`: the app asks for another attempt.
_ATTEMPTED: dict[str, str] = {
    "aside": DeliveryState.ASIDE,
    "delivered": DeliveryState.DELIVERED,
    "failed": DeliveryState.FAILED,
    "skipped": DeliveryState.SKIPPED,
}
DELIVERY: Table = {
    DeliveryState.PENDING: {"held": DeliveryState.HELD, **_ATTEMPTED},
    DeliveryState.HELD: {"held": DeliveryState.HELD, **_ATTEMPTED},
    DeliveryState.ASIDE: _ATTEMPTED,
    DeliveryState.DELIVERED: {"redeliver": DeliveryState.ASIDE},
    DeliveryState.FAILED: {"redeliver": DeliveryState.ASIDE},
    DeliveryState.SKIPPED: {},
}

# By the names that they have in the Lua files.
TABLES: dict[str, Table] = {
    "SESSION": SESSION,
    "PLAYBACK": PLAYBACK,
    "URL": URL,
    "LEG": LEG,
    "RECORDING": RECORDING,
    "DELIVERY": DELIVERY,
}

# What a member is for its app; the first unless the join says otherwise.
ROLES = ("participant", "moderator")

# The status that the API shows for a delivery's state; one that is skipped is not shown.
DELIVERY_STATUS: dict[str, str] = {
    DeliveryState.PENDING: "pending",
    DeliveryState.HELD: "retrying",
    DeliveryState.ASIDE: "retrying",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.FAILED: "failed",
}

# What the API may show.
SESSION_STATES = tuple(str(state) for state in SESSION if state != SessionState.ENDED)
PLAYBACK_STATUSES = tuple(str(state) for state in PLAYBACK)
LEG_STATES = tuple(str(state) for state in LEG)
RECORDING_STATES = tuple(str(state) for state in RECORDING)
DELIVERY_STATUSES = tuple(dict.fromkeys(DELIVERY_STATUS.values()))
# A delivery is listed from its first attempt on.
LISTED_STATUSES = tuple(status for status in DELIVERY_STATUSES if status != DeliveryState.PENDING)
