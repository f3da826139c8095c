"""FreeSWITCH's command language: each command is a value with one pure `render`, and nothing else spells commands.

FreeSWITCH splits a command's arguments at spaces, honours single quotes and backslashes inside them, and reads
braces, commas, `@` and `+` inside some. No argument here can hold any of these: names pass an allowlist or are
refused with ValueError, and URLs are percent-encoded by `clean_url`. Sources: `switch_utils.c`,
`mod_event_socket.c`, `mod_conference`, `mod_httapi.c`; numbers in brackets are recorded traces.

The docstring of a command says what the node prints as its result. In all of them `channel` is a channel's UUID, `room`
the name of a conference, and `member_id` the Member-ID of its events.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Protocol

MAX_URL_LENGTH = 2048
"""Characters of a URL, before and after encoding."""

MAX_HOST_LENGTH = 253
MAX_LABEL_LENGTH = 63
"""Characters of a host's name and of each label in it (RFC 1035), whatever the script."""

MAX_VOLUME = 50
"""`vol` and `file-vol` go from -50 to 50, and 0 leaves a file as it is. FreeSWITCH clips to that silently."""

MEMBER_VERBS = frozenset({"mute", "unmute", "deaf", "undeaf", "unhold"})
"""What `MemberCommand` can do to a member."""

SILENCE = "silence_stream://-1"
"""What a member on hold is played when there is nothing else. It has no end."""
LOCAL_STREAM = "local_stream://"

BEEPS = {"enter": "tone_stream://%(250,0,700)", "exit": "tone_stream://%(250,0,480)"}
"""What a room hears when a member comes or goes."""

HOLD_TIMES = 20
"""How often it hears its music. A list of files may have 128 (mod_dptools.c)."""

LEVEL_VERBS = frozenset({"volume_in", "volume_out"})
"""Which levels of a member `MemberLevel` can set."""

MAX_LEVEL = 4
"""They go from -4 to 4, and 0 leaves the sound as it is. FreeSWITCH clips to that silently (23)."""

RELATIONS = frozenset({"nospeak", "clear"})
"""What a member can be to another one: not heard by it, or nothing."""

MAX_RELATED = 100
"""Members whom it can be told so of at once. FreeSWITCH leaves out the rest silently (conference_api.c)."""

JOIN_FLAGS = frozenset({"mute", "deaf"})
"""What a member can be from the moment when it joins."""

MAX_DTMF_LENGTH = 99
"""Characters of digits with their duration. FreeSWITCH refuses more (switch_core_io.c)."""

RECORDING_VERBS = frozenset({"pause", "resume", "stop"})
"""What can be done to a recording."""

LEG_VARIABLE = "switchroom_leg_"
"""How the global variables begin that announce legs; the leg's uuid follows."""

LEG_PROFILE = "bridge"
"""The SIP profile of legs, and of nothing else."""

LEG_NAME = f"sofia/{LEG_PROFILE}/"
"""How the names of legs' channels begin, on both nodes (19)."""

DIALLED = "switchroom"
"""The account code of calls that a node makes for an app. `show channels` has it, and all their events."""

TRANSFERRED = "switchroom-transfer"
"""That of the calls to numbers to which calls are transferred."""

TRANSFER_VARIABLE = "switchroom_transfer"
"""The channel variable that has the uuid of the call to the number to which a call was transferred last."""

RINGING = "%(1000,4000,425)"
"""What is heard while a number is called to which one is transferred: a second of a tone, and four of silence."""

# Headers of one's own, and bodies, which would be passed on from one call to the other.
_KEPT_APART = {"sip_copy_custom_headers": "false", "sip_copy_multipart": "false"}

DIAL_SECONDS = 5
"""How long a node waits for another one to answer."""

MEDIA_TIMEOUT = 3000
"""Milliseconds without a packet after which a node hangs up a leg: the other node counts as dead (21)."""


class Command(Protocol):
    """Whatever can be sent by `api` or `bgapi`."""

    def render(self) -> str:
        """One line, without the leading `api` or `bgapi`. Raises ValueError for an argument that is refused."""
        ...


# -- channels


@dataclass(frozen=True, slots=True)
class Join:
    """Put a channel into a room, and into park again afterwards. `+OK` says only that the transfer began (03).

    `flags`: of JOIN_FLAGS, those with which it joins (23).
    """

    channel: str
    room: str
    profile: str
    flags: Collection[str] = ("mute",)

    def render(self) -> str:
        room, profile = _room(self.room), _name("profile", self.profile)
        if not JOIN_FLAGS.issuperset(self.flags):
            raise ValueError(f"not flags to join with: {self.flags!r}")
        flags = f"+flags{{{'|'.join(self.flags)}}}" if self.flags else ""
        return _line("uuid_transfer", _channel(self.channel), f"'conference:{room}@{profile}{flags},park:'", "inline")


@dataclass(frozen=True, slots=True)
class Hangup:
    """End a call. `cause` is the name of a hangup cause."""

    channel: str
    cause: str = "NORMAL_CLEARING"

    def render(self) -> str:
        if not _CAUSE.fullmatch(self.cause):
            raise ValueError(f"not a hangup cause: {self.cause!r}")
        return _line("uuid_kill", _channel(self.channel), self.cause)


@dataclass(frozen=True, slots=True)
class SendDtmf:
    """Send digits to the far end of a call, `duration` ms each. `w` and `W` are pauses of half a second and of one.

    Prints `+OK CHANNEL sent DTMF DIGITS@DURATION.` once they are queued (29).
    """

    channel: str
    digits: str = field(repr=False)
    duration: int

    def render(self) -> str:
        return _line("uuid_send_dtmf", _channel(self.channel), _digits(self.digits, self.duration))


@dataclass(frozen=True, slots=True)
class Dial:
    """Call `to`, as the channel of that uuid, and park it once it is answered. Prints `+OK CHANNEL` then (27), or
    `-ERR CAUSE` (28). A redirect is not followed, and a call that is not answered in `timeout` seconds is given up.

    `to`: a number, or the user of a SIP URI. `host` is where the gateway is, or that of the URI, `host` or `host:port`,
    and `profile` the SIP profile to call from. The node ends the
    call by itself after `max_seconds`, whatever becomes of whoever told it to dial.
    """

    channel: str
    to: str
    caller_id: str
    timeout: int
    max_seconds: int
    host: str
    profile: str
    transport: str = "udp"
    username: str = ""
    password: str = field(default="", repr=False)

    def render(self) -> str:
        return _line("originate", _called(self, self.channel, DIALLED), "&park()")


@dataclass(frozen=True, slots=True)
class Transfer:
    """Take a call out of whatever it does and connect it to a number, which is called as the channel `leg`, with what
    `Dial` has besides. `+OK` says only that this began (38).

    Until that is answered the caller hears RINGING. If it is not, the call is parked (39). Once it is, the end of one
    ends the other. Nothing that the caller's side has sent goes to the gateway, nor the other way.
    """

    channel: str
    leg: str
    to: str
    caller_id: str
    timeout: int
    max_seconds: int
    host: str
    profile: str
    transport: str = "udp"
    username: str = ""
    password: str = field(default="", repr=False)

    def render(self) -> str:
        variables = {
            TRANSFER_VARIABLE: _channel(self.leg),
            "continue_on_fail": "true",
            "hangup_after_bridge": "true",
            "ignore_display_updates": "true",
            "transfer_ringback": RINGING,
            **_KEPT_APART,
        }
        applications = [
            *(f"set:{name}={value}" for name, value in variables.items()),
            # Whether the caller hides its own number is nothing that the number called has to know.
            f"bridge:{_called(self, self.leg, TRANSFERRED, {**_KEPT_APART, 'origination_privacy': 'screen'})}",
            "park:",
        ]
        # The character that stands between applications is in none of them.
        return _line("uuid_transfer", _channel(self.channel), f"'m:^:{'^'.join(applications)}'", "inline")


@dataclass(frozen=True, slots=True)
class PlayToChannel:
    """Play files, as one, to a parked call. `params` come back in the event that tells of its end; see `parse_file`.

    Prints `+OK Message sent` (34), before the file is fetched. What was told before plays first.
    """

    channel: str
    urls: Sequence[str]
    params: Mapping[str, str | int] = field(default_factory=dict)

    def render(self) -> str:
        # With the name of the application: an address like [::1] would be taken for one.
        return _line("uuid_broadcast", _channel(self.channel), f"playback::{_file(self.urls, self.params)}", "aleg")


@dataclass(frozen=True, slots=True)
class IgnoreKeys:
    """Have no key that the caller presses break off what is played; unless told so, `*` does. Prints `+OK`."""

    channel: str

    def render(self) -> str:
        return _line("uuid_setvar", _channel(self.channel), "playback_terminators", "none")


@dataclass(frozen=True, slots=True)
class StopChannel:
    """Stop what is played to a call, and what was to be. Prints `+OK`, also if there is nothing (34).

    So it does if the call is about to begin a file, which then plays all the same (46).
    """

    channel: str

    def render(self) -> str:
        return _line("uuid_break", _channel(self.channel), "all")


@dataclass(frozen=True, slots=True)
class IsPlaying:
    """Prints `+OK` while a file is played to a parked call, else `-ERR No file handle!` (34).

    It stands for a change of the file that plays, of a kind that there is not.
    """

    channel: str

    def render(self) -> str:
        return _line("uuid_fileman", _channel(self.channel), "none")


@dataclass(frozen=True, slots=True)
class ChannelExists:
    """Prints `true` or `false`."""

    channel: str

    def render(self) -> str:
        return _line("uuid_exists", _channel(self.channel))


@dataclass(frozen=True, slots=True)
class ShowChannels:
    """Prints JSON: `row_count`, and `rows` unless there are none (10)."""

    def render(self) -> str:
        return _line("show", "channels", "as", "json")


# -- rooms


@dataclass(frozen=True, slots=True)
class Kick:
    """Take one member, or all, out of a room. Their channels go on to park (03)."""

    room: str
    member_id: int | str | Literal["all"]

    def render(self) -> str:
        return _in_room(self.room, "kick", "all" if self.member_id == "all" else _member(self.member_id))


@dataclass(frozen=True, slots=True)
class MemberCommand:
    """Set or clear a flag of a member; `verb` is one of MEMBER_VERBS.

    Prints `+OK` before the event is fired, which happens even for a member who has the flag already (03).
    """

    room: str
    member_id: int | str
    verb: str

    def render(self) -> str:
        if self.verb not in MEMBER_VERBS:
            raise ValueError(f"not a verb for a member: {self.verb!r}")
        return _in_room(self.room, self.verb, _member(self.member_id))


@dataclass(frozen=True, slots=True)
class Hold:
    """Put a member on hold. It hears these URLs, one after the other and over and over, and then nothing. Without URLs
    it hears `music`, which the node has: a path, or `local_stream://` and a name.

    Prints `+OK hold 7` once the first is opened (33), if there is any: one that cannot be is left out silently. On hold
    alone it would go on hearing the room, so in the end it is played silence. Unholding stops all of it.
    """

    room: str
    member_id: int | str
    urls: Sequence[str] = ()
    music: str = ""

    def render(self) -> str:
        files = [_with_kind(clean_url(url)) for url in self.urls] or ([_music(self.music)] if self.music else [])
        heard = _as_list([*files * HOLD_TIMES, SILENCE]) if files else SILENCE
        return _in_room(self.room, "hold", _member(self.member_id), heard)


@dataclass(frozen=True, slots=True)
class MemberLevel:
    """Set how loud a member is to the room, or the room to it; `verb` is one of LEVEL_VERBS.

    Prints `+OK Volume IN 7 = 2`, and the event is fired even for a member who has that level already (23).
    """

    room: str
    member_id: int | str
    verb: str
    level: int | str

    def render(self) -> str:
        level = str(self.level)
        if self.verb not in LEVEL_VERBS:
            raise ValueError(f"not a level of a member: {self.verb!r}")
        if not _INTEGER.fullmatch(level) or abs(int(level)) > MAX_LEVEL:
            raise ValueError(f"a level goes from -{MAX_LEVEL} to {MAX_LEVEL}, not {self.level!r}")
        return _in_room(self.room, self.verb, _member(self.member_id), str(int(level)))


@dataclass(frozen=True, slots=True)
class Relate:
    """Have a member not heard by others, or heard by them again; `how` is one of RELATIONS. With `clear`, 0 is all.

    Prints a line for each, `+OK 1->2 nospeak set`, `+OK relationship 1->2 cleared.` or
    `-ERR relationship 1->2 not found.`, and no event is fired (40). It holds until it is cleared or the member leaves,
    also for another one that leaves and comes back.
    """

    room: str
    member_id: int | str
    others: Sequence[int | str]
    how: str

    def render(self) -> str:
        if self.how not in RELATIONS:
            raise ValueError(f"not a relation between members: {self.how!r}")
        if not 1 <= len(self.others) <= MAX_RELATED:
            raise ValueError(f"1 to {MAX_RELATED} members can be related to at once, not {len(self.others)}")
        is_all = self.how == "clear" and [str(other) for other in self.others] == ["0"]
        others = "0" if is_all else ",".join(_member(other) for other in self.others)
        return _in_room(self.room, "relate", _member(self.member_id), others, self.how)


@dataclass(frozen=True, slots=True)
class Relations:
    """Prints the relations of a member, a line each: `1 -> 3 NOSPEAK HEAR NOSENDVIDEO`.

    Without any in the room `+OK No relationships`, and nothing if only others have some (40).
    """

    room: str
    member_id: int | str

    def render(self) -> str:
        return _in_room(self.room, "relate", _member(self.member_id))


@dataclass(frozen=True, slots=True)
class JsonList:
    """Prints a JSON array of all rooms, or of the one named, with their members. Without rooms: `[]`, or -ERR (10)."""

    room: str | None = None

    def render(self) -> str:
        return _line("conference", "json_list") if self.room is None else _in_room(self.room, "json_list")


# -- recordings, each in a file `path` of the node's


@dataclass(frozen=True, slots=True)
class RecordRoom:
    """Record what a room hears, until it is stopped or nobody is in it. Prints `+OK` before the file is open (12)."""

    room: str
    path: str

    def render(self) -> str:
        return _in_room(self.room, "recording", "start", _path(self.path))


@dataclass(frozen=True, slots=True)
class ControlRoomRecording:
    """`verb` is one of RECORDING_VERBS. An event confirms it (12)."""

    room: str
    path: str
    verb: str

    def render(self) -> str:
        return _in_room(self.room, "recording", _recording_verb(self.verb), _path(self.path))


@dataclass(frozen=True, slots=True)
class RecordCall:
    """Record a call for `max_seconds`, in `stereo` what it says to the left and what it hears to the right.

    It goes on in rooms and out of them. Prints `+OK Success` (42). FreeSWITCH would keep the last 25 frames waiting,
    half a second that is in no file when a parked call ends (switch_ivr_async.c, 1.11.1): one frame is enough.
    """

    channel: str
    path: str
    max_seconds: int
    stereo: bool = False

    def render(self) -> str:
        variables = f"{{RECORD_STEREO={str(self.stereo).lower()},RECORD_PRE_BUFFER_FRAMES=1}}"
        seconds = _seconds(self.max_seconds)
        return _line("uuid_record", _channel(self.channel), "start", _path(self.path), seconds, variables)


@dataclass(frozen=True, slots=True)
class ControlCallRecording:
    """`verb` is one of RECORDING_VERBS. Prints `+OK Success`; that it stops is told by an event, too (42)."""

    channel: str
    path: str
    verb: str

    def render(self) -> str:
        return _line("uuid_record", _channel(self.channel), _recording_verb(self.verb), _path(self.path))


@dataclass(frozen=True, slots=True)
class ListTaps:
    """Prints XML with the `target` of everything that taps a call; of a recording that is its path (42)."""

    channel: str

    def render(self) -> str:
        return _line("uuid_buglist", _channel(self.channel))


@dataclass(frozen=True, slots=True)
class PutFile:
    """Have mod_http_cache send a file to a URL by PUT. Prints `+OK 200`.

    Whatever goes wrong is `-ERR http_put Command not found!`, as with `FetchFile` (41).
    """

    url: str = field(repr=False)
    path: str

    def render(self) -> str:
        return _line("http_put", clean_url(self.url), _path(self.path))


@dataclass(frozen=True, slots=True)
class EmptyFile:
    """Have a file take no room any more. Nothing here removes one: there is no shell.

    The file is sent to itself: it is emptied before it is read. So it cannot be told from what is printed whether that
    worked (41).
    """

    path: str

    def render(self) -> str:
        return _line("http_put", f"file://{_path(self.path)}", self.path)


@dataclass(frozen=True, slots=True)
class FileExists:
    """Prints `true` or `false`."""

    path: str

    def render(self) -> str:
        return _line("file_exists", _path(self.path))


# -- legs: a room's calls between nodes, let in by `freeswitch-conf/dialplan/bridge.xml`


@dataclass(frozen=True, slots=True)
class AnnounceLeg:
    """Let in the call whose uuid is `leg`, once, into that room. Prints `+OK` (19)."""

    leg: str
    room: str
    profile: str

    def render(self) -> str:
        room, profile = _room(self.room), _name("profile", self.profile)
        return _line("global_setvar", f"{LEG_VARIABLE}{_leg(self.leg)}={room}@{profile}")


@dataclass(frozen=True, slots=True)
class WithdrawLeg:
    """Let the call not in any more, if it has not come. Prints `+OK`."""

    leg: str

    def render(self) -> str:
        return _line("global_setvar", f"{LEG_VARIABLE}{_leg(self.leg)}=")


@dataclass(frozen=True, slots=True)
class DialLeg:
    """Join this node's conference of a room with that of the node at `target`, where the leg has been announced.

    `target` is that node's `host:port`, `prefix` this node's, as which the leg calls. Prints `+OK LEG` once it is
    answered (19), or `-ERR CAUSE`: NO_ROUTE_DESTINATION if it was not announced (20), NORMAL_TEMPORARY_FAILURE if
    nobody is there, NO_ANSWER after DIAL_SECONDS.
    """

    leg: str
    room: str
    profile: str
    target: str
    prefix: str

    def render(self) -> str:
        leg, room, profile = _leg(self.leg), _room(self.room), _name("profile", self.profile)
        variables = {
            "origination_uuid": leg,
            "origination_caller_id_number": _name("prefix", self.prefix),
            "originate_timeout": DIAL_SECONDS,
            # As the dialplan of the other node has it.
            "media_timeout": MEDIA_TIMEOUT,
            "conference_join_energy_level": 0,
        }
        given = ",".join(f"{name}={value}" for name, value in variables.items())
        called = _bridge(room, self.target)
        return _line("originate", f"{{{given}}}{called}", f"&conference({room}@{profile}+flags{{nomoh}})")


@dataclass(frozen=True, slots=True)
class CallBridge:
    """Call the bridge profile of the node at `target` (`host:port`) as a leg does, but for no room that is announced.

    Prints `-ERR CAUSE`, as seen on 1.11.1: NO_ROUTE_DESTINATION if that profile would let a leg in, CALL_REJECTED if it
    lets nothing in from this node, NORMAL_TEMPORARY_FAILURE if nobody is there, NO_ANSWER after DIAL_SECONDS, and
    INVALID_PROFILE if this node has no bridge profile itself. `+OK` if somebody else takes the call, which is hung up.
    """

    target: str

    def render(self) -> str:
        called = _bridge("doctor", self.target)
        return _line("originate", f"{{originate_timeout={DIAL_SECONDS}}}{called}", "&hangup()")


# -- playback


@dataclass(frozen=True, slots=True)
class Play:
    """Queue a file behind those that play. `params` come back in the `File` header of its events; see `parse_file`.

    Its result comes once the file is downloaded and queued: whoever wants files in an order waits for that (15).

    `rest`: a URL that is played behind the first without a gap, as one file (24). See `joined`.
    """

    room: str
    url: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    rest: str = ""

    def render(self) -> str:
        file = joined(self.url, self.rest) if self.rest else _with_kind(clean_url(self.url))
        return _in_room(self.room, "play", _params(self.params) + file)


@dataclass(frozen=True, slots=True)
class PlayToMember:
    """Play files, as one, to a member alone, which hears the room besides. `params`: see `PlayToChannel`.

    What was told before plays first. Prints `+OK (play) Playing file FILE to member 7` once the first of them is
    fetched, or -ERR (35).
    """

    room: str
    member_id: int | str
    urls: Sequence[str]
    params: Mapping[str, str | int] = field(default_factory=dict)

    def render(self) -> str:
        return _in_room(self.room, "play", _file(self.urls, self.params), _member(self.member_id))


@dataclass(frozen=True, slots=True)
class StopMember:
    """Stop what is played to a member, also what it hears on hold. Prints `+OK Stopped 1 files.` (35)."""

    room: str
    member_id: int | str

    def render(self) -> str:
        return _in_room(self.room, "stop", "all", _member(self.member_id))


@dataclass(frozen=True, slots=True)
class Beep:
    """Play one of BEEPS, or in its place files as one, to a room, beside its queue of files, of which nothing changes
    (37, 45).

    Another one takes its place, if it still plays. Prints `+OK (play) Playing file tone_stream://%(250,0,700)` once the
    first file is fetched, or -ERR.
    """

    room: str
    which: str
    urls: Sequence[str] = ()

    def render(self) -> str:
        if self.which not in BEEPS:
            raise ValueError(f"not a beep: {self.which!r}")
        sound = _file(self.urls, {}) if self.urls else BEEPS[self.which]
        return _in_room(self.room, "play", sound, "async")


@dataclass(frozen=True, slots=True)
class PausePlay:
    """Toggle between pause and play. Prints which: `+OK Pause` or `+OK Resume`, or nothing if nothing plays (06)."""

    room: str

    def render(self) -> str:
        return _in_room(self.room, "pause_play")


@dataclass(frozen=True, slots=True)
class StopPlay:
    """Stop the file that plays and all behind it. Their `play-file-done` events come after the result (06)."""

    room: str

    def render(self) -> str:
        return _in_room(self.room, "stop", "all")


@dataclass(frozen=True, slots=True)
class PlayStatus:
    """Prints `+OK 0/0 URL` for the file that plays, the URL without its scheme, or `-ERR Nothing is playing` (06).

    With a member: for the file that it alone is played (35).
    """

    room: str
    member_id: int | str | None = None

    def render(self) -> str:
        member = [] if self.member_id is None else [_member(self.member_id)]
        return _in_room(self.room, "play_status", *member)


@dataclass(frozen=True, slots=True)
class FileVolume:
    """Set the volume, -50 to 50, of the file that now plays, and of no other (06)."""

    room: str
    level: int | str

    def render(self) -> str:
        level = str(self.level)
        if not _INTEGER.fullmatch(level) or abs(int(level)) > MAX_VOLUME:
            raise ValueError(f"a volume goes from -{MAX_VOLUME} to {MAX_VOLUME}, not {self.level!r}")
        return _in_room(self.room, "file-vol", str(int(level)))


# -- the node


@dataclass(frozen=True, slots=True)
class Ping:
    """The cheapest command there is. Prints the seconds since the node's start."""

    def render(self) -> str:
        return _line("uptime")


@dataclass(frozen=True, slots=True)
class Status:
    """Prints version, uptime and session counts, for people."""

    def render(self) -> str:
        return _line("status")


@dataclass(frozen=True, slots=True)
class CoreUuid:
    """Prints the `Core-UUID` of the node's events, which is another one after every restart."""

    def render(self) -> str:
        return _line("global_getvar", "core_uuid")


@dataclass(frozen=True, slots=True)
class GlobalVariable:
    """Prints the value of a global variable, or -ERR if it is not set or empty."""

    name: str

    def render(self) -> str:
        return _line("global_getvar", _name("variable", self.name))


@dataclass(frozen=True, slots=True)
class ModuleExists:
    """Prints `true` or `false`."""

    name: str

    def render(self) -> str:
        return _line("module_exists", _name("module", self.name))


@dataclass(frozen=True, slots=True)
class LocateConfiguration:
    """Prints a configuration, such as `conference.conf`, as XML, as the node itself sees it."""

    name: str

    def render(self) -> str:
        return _line("xml_locate", "configuration", "configuration", "name", _name("configuration", self.name))


@dataclass(frozen=True, slots=True)
class SipStatus:
    """Prints a table of SIP profiles, with a tab behind the name and the type of each (44)."""

    def render(self) -> str:
        return _line("sofia", "status")


@dataclass(frozen=True, slots=True)
class ShowFileFormats:
    """Prints JSON as `ShowChannels` does, with the `name` of each format that can be played (`http` is one)."""

    def render(self) -> str:
        return _line("show", "file", "as", "json")


@dataclass(frozen=True, slots=True)
class FetchFile:
    """Have mod_http_cache fetch a file, even one that it has, which may take as long as its timeouts say.

    Prints the path of the copy. What cannot be fetched is `-ERR http_get Command not found!`, as if the module were
    missing: the command fails, and the Event Socket (api_exec in mod_event_socket.c) takes that for it.
    """

    url: str

    def render(self) -> str:
        return _line("http_get", "{refresh=true}" + clean_url(self.url))


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Have mod_http_cache fetch a file unless it has it, as for a `rest` that will be played. Prints as `FetchFile`."""

    rest: str

    def render(self) -> str:
        return _line("http_get", _rest(self.rest))


@dataclass(frozen=True, slots=True)
class Epoch:
    """Prints the node's time in seconds since 1970."""

    def render(self) -> str:
        return _line("strepoch")


# -- URLs and file strings


def clean_url(url: str) -> str:
    """The URL as FreeSWITCH can be given it: the same resource, with no character that FreeSWITCH would interpret.

    Raises ValueError, whose text completes "this URL cannot be played because ...", unless it is http or https
    with a valid host, without user info, control characters or backslashes, and has at most MAX_URL_LENGTH characters.
    A valid `%XX` stays as it is, so cleaning twice changes nothing. The fragment is dropped: no server is sent one.

    Two reserved characters are encoded, too: `'`, which quotes an argument, and `@`, since `mod_httapi` takes
    everything up to the first one for user info, and would fetch from the host behind it.
    """
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"it is longer than {MAX_URL_LENGTH} characters")
    if url != url.strip():
        raise ValueError("it begins or ends with white space")
    if _CONTROL.search(url):
        raise ValueError("it holds a control character")
    if "\\" in url:
        raise ValueError("it holds a backslash")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise ValueError("it does not begin with http:// or https://")
    scheme, authority, path, query = parts.groups(default="")
    try:
        rest = _UNSAFE.sub(_percent_encoded, (path or "/") + query)
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair") from None
    cleaned = f"{scheme.lower()}://{_authority(authority)}{_SOCKET_MODULE.sub('mod%5Fevent_socket', rest)}"
    if len(cleaned) > MAX_URL_LENGTH:
        raise ValueError(f"it is longer than {MAX_URL_LENGTH} characters once encoded")
    return cleaned


@lru_cache(maxsize=1024)
def ascii_name(host: str) -> str:
    """The name as the DNS knows it, `xn--...` where it goes beyond ASCII. Raises ValueError for what is no name there.

    The codec takes time that grows with the square of a label's length, so what is too long is refused before.
    """
    if len(host) > MAX_HOST_LENGTH or any(len(label) > MAX_LABEL_LENGTH for label in _DOTS.split(host)):
        raise ValueError("the name is too long")
    return host.encode("idna").decode("ascii")


def joined(url: str, rest: str) -> str:
    """Two URLs as one file. `rest` may have a fragment, `#words:of-names`, which comes back in an event (24).

    The list begins with an empty name, which FreeSWITCH cannot open and passes over, with two lines in its log: before
    the file that stands first it would play a quarter of a second of silence (file_string in mod_dptools.c).
    """
    return _as_list(["", clean_url(url), _rest(rest)])


def _as_list(files: Sequence[str]) -> str:
    """Files that are played as one. A `!` stands between them, and so is percent-encoded in each."""
    return "file_string://" + "!".join(file.replace("!", "%21") for file in files)


def parse_file(file_header: str) -> tuple[dict[str, str], str]:
    """Parameters and URL of a `File` header: `{operation_id=X,url_index=0}URL`. No parameters: an empty dict."""
    if not file_header.startswith("{") or "}" not in file_header:
        return {}, file_header
    listed, _, url = file_header[1:].partition("}")
    pairs = (pair.partition("=") for pair in listed.split(","))
    return {name: value for name, equals, value in pairs if equals}, url


# -- what arguments may hold

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_VALUE = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
_FRAGMENT = re.compile(r"[A-Za-z0-9:-]{1,255}")
_CAUSE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_PATH = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}){1,32}")
_DTMF = re.compile(r"[0-9A-D*#wW]+@[1-9][0-9]{1,4}", re.ASCII)
_LEG = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"\+?[0-9]{1,32}")
_SECONDS = re.compile(r"[1-9][0-9]{0,5}")
_TRANSPORTS = frozenset({"udp", "tcp", "tls"})
SIP_USER = re.compile(r"[A-Za-z0-9.+_-]{1,64}")
SIP_PASSWORD = re.compile(r"[A-Za-z0-9!#%*+./=?@_~-]{1,128}")
"""What a gateway's credentials may hold, and who is called: nothing that FreeSWITCH would read in a dial string."""

_MEMBER = re.compile(r"[1-9][0-9]{0,9}")
_INTEGER = re.compile(r"-?[0-9]{1,4}")

# What `conference` takes for a subcommand of its own when no room of that name is there (conference_api.c).
_NOT_ROOMS = frozenset({"all", "commands", "count", "help", "json_list", "list", "xml_list"})

_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)
_KINDS = frozenset({"wav", "mp3"})  # of sounds, by the end of a file's name
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNSAFE = re.compile(r"(?:%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9%/?:;&=+*().,!$~_-])+")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?!.{{254}}){_LABEL}(?:\.{_LABEL})*\.?")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # between labels (RFC 3490, 3.1)
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")

# Whatever the command, a line with "mod_event_socket" and "reload" or "unload" anywhere in it makes the Event
# Socket reload or unload itself (parse_command in mod_event_socket.c).
_SOCKET_MODULE = re.compile("mod_event_socket", re.IGNORECASE)
_LOADING = re.compile("reload|unload", re.IGNORECASE)


def _line(*words: str) -> str:
    line = " ".join(words)
    if _SOCKET_MODULE.search(line) and _LOADING.search(line):
        raise ValueError("the Event Socket would take this command for one to reload itself")
    return line


def _params(params: Mapping[str, str | int]) -> str:
    listed = ",".join(f"{_parameter(name)}={_value(value)}" for name, value in params.items())
    return f"{{{listed}}}" if listed else ""


def _file(urls: Sequence[str], params: Mapping[str, str | int]) -> str:
    """URLs that are played as one file."""
    files = [clean_url(url) for url in urls]
    return _params(params) + (_as_list(["", *files]) if len(files) > 1 else _with_kind(*files))


def _in_room(room: str, *words: str) -> str:
    return _line("conference", _room(room), *words)


def _room(room: str) -> str:
    if room.lower() in _NOT_ROOMS:
        raise ValueError(f"not a room: {room!r} means something else to FreeSWITCH")
    return _name("room", room)


def _with_kind(url: str) -> str:
    """The URL with a fragment that says what kind of sound it is, if FreeSWITCH would get that wrong without.

    FreeSWITCH takes for the kind what follows the last dot after the last slash, even inside the query, as in signed
    URLs, and knows lower case only. Without such a dot, as after `#/`, the Content-Type decides. A fragment is never
    sent to a server.
    """
    path, _, query = url.partition("?")
    name = path.rpartition("/")[2]
    kind = name.rpartition(".")[2]
    if kind.lower() in _KINDS and "." in name:
        return f"{url}#.{kind.lower()}" if kind != kind.lower() or set(query) & {".", "/"} else url
    return f"{url}#/" if "." in name + query else url


def _rest(rest: str) -> str:
    url, hash_sign, fragment = rest.partition("#")
    if hash_sign and not _FRAGMENT.fullmatch(fragment):
        raise ValueError(f"not a fragment for a file's rest: {fragment!r}")
    return clean_url(url) + hash_sign + fragment


def _name(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a {what}: {name!r}")
    return name


def _channel(channel: str) -> str:
    """The text of the error does not quote it: whoever knows a channel's UUID can take the call over."""
    if not _NAME.fullmatch(channel):
        raise ValueError("not a channel's uuid")
    return channel


def _digits(digits: str, duration: int) -> str:
    """Not quoted either: they may be a PIN."""
    text = f"{digits}@{duration}"
    if not _DTMF.fullmatch(text) or len(text) > MAX_DTMF_LENGTH:
        raise ValueError("not digits to send")
    return text


def _called(call: Dial | Transfer, channel: str, account: str, more: Mapping[str, str] | None = None) -> str:
    """Whom to call through which gateway, in FreeSWITCH's language, and as what."""
    variables = {
        "origination_uuid": _channel(channel),
        "origination_caller_id_number": _number(call.caller_id),
        "origination_caller_id_name": _number(call.caller_id),
        "originate_timeout": _seconds(call.timeout),
        "ignore_early_media": "true",
        "outbound_redirect_fatal": "true",
        "accountcode": account,
        "execute_on_answer": f"sched_hangup:+{_seconds(call.max_seconds)}",
        **(more or {}),
    }
    if call.username:
        if not SIP_USER.fullmatch(call.username) or not SIP_PASSWORD.fullmatch(call.password):
            raise ValueError("not the credentials of a gateway")
        variables |= {"sip_auth_username": call.username, "sip_auth_password": call.password}
    given = ",".join(f"{name}={value}" for name, value in variables.items())
    if call.transport not in _TRANSPORTS:
        raise ValueError(f"not a transport: {call.transport!r}")
    host = _target(call.host) if ":" in call.host else _target(f"{call.host}:5060").removesuffix(":5060")
    transport = "" if call.transport == "udp" else f";transport={call.transport}"
    return f"{{{given}}}sofia/{_name('profile', call.profile)}/{_user(call.to)}@{host}{transport}"


def _path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError(f"not a path that can be named: {path!r}")
    return path


def _music(name: str) -> str:
    stream = name.removeprefix(LOCAL_STREAM)
    return _path(name) if stream == name else LOCAL_STREAM + _name("stream", stream)


def _recording_verb(verb: str) -> str:
    if verb not in RECORDING_VERBS:
        raise ValueError(f"not a verb for a recording: {verb!r}")
    return verb


def _number(number: str) -> str:
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"not a number to call: {number!r}")
    return number


def _user(user: str) -> str:
    if not SIP_USER.fullmatch(user):
        raise ValueError(f"not a user to call: {user!r}")
    return user


def _seconds(seconds: int) -> str:
    if not _SECONDS.fullmatch(str(seconds)):
        raise ValueError(f"not seconds: {seconds!r}")
    return str(seconds)


def _leg(leg: str) -> str:
    """Not quoted either: it lets a call in."""
    if not _LEG.fullmatch(leg):
        raise ValueError("not a leg's uuid")
    return leg


def _target(target: str) -> str:
    host, _, port = target.rpartition(":")
    if not _HOST.fullmatch(host) or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"not a node's host:port: {target!r}")
    return target


def _bridge(user: str, target: str) -> str:
    return f"{LEG_NAME}{user}@{_target(target)};transport=tcp"


def _member(member: int | str) -> str:
    if not _MEMBER.fullmatch(str(member)):
        raise ValueError(f"not a member id: {member!r}")
    return str(member)


def _parameter(name: str) -> str:
    if not _PARAMETER.fullmatch(name):
        raise ValueError(f"not the name of a file parameter: {name!r}")
    return name


def _value(value: str | int) -> str:
    if not _VALUE.fullmatch(str(value)):
        raise ValueError(f"not a value for a file parameter: {value!r}")
    return str(value)


def _percent_encoded(match: re.Match[str]) -> str:
    return "%" + match[0].encode().hex("%").upper()


def _authority(authority: str) -> str:
    if "@" in authority:
        raise ValueError("it holds user info")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise ValueError("its host or port is not valid")
    host, port = parts.groups()
    if port is not None and not 0 < int(port) < 65536:
        raise ValueError("its port is not between 1 and 65535")
    return _host(host) + (f":{port}" if port else "")


def _host(host: str) -> str:
    if not host:
        raise ValueError("it has no host")
    try:
        if host.startswith("["):
            address = ipaddress.IPv6Address(host[1:-1])
            if address.scope_id is None:
                return f"[{address}]"
        elif not host.isascii():
            host = ascii_name(host)
    except ValueError:
        pass  # an invalid host does not match below
    if not _HOST.fullmatch(host) or _SOCKET_MODULE.search(host):
        raise ValueError("its host is not a valid name")
    return host
