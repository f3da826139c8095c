"""A call on the node: its state, its variables, the events it fires, and the applications it runs."""

from __future__ import annotations

import math
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from typing import Protocol

import gevent

from esl.emulator import sip
from esl.emulator.clock import AnyClock, Timer
from esl.emulator.recording import CALL_OVERHEAD, RATE, Recording
from esl.emulator.wire import Headers, atoi, split, time_headers

# Seconds from a command that moves or ends a call to the moment when the call goes: one 20 ms frame, and waking up.
# In the traces an UNPARK is seen 21.7 to 23.7 ms after its uuid_transfer, and a BYE 21.3 ms after its uuid_kill.
SESSION_LAG = 0.0205
# The same for one who is kicked: in the traces it takes a SIP call 31 to 42 ms to leave (03, 09).
LEAVE_LAG = 0.0405
# Seconds until a call that was told to plays a file: it lets five frames pass first. Once it does, a stop is lost (46).
PLAY_LAG = 0.12
PICK_LAG = 0.01
FRAME = 0.02  # seconds
SAMPLES = 8000  # a second
READ_AHEAD = 2.048  # seconds that are read of a file at a time
# Seconds that entering a conference takes once its application has begun, and that a caller's ACK takes.
ENTER_DELAY = 0.001
ACK_DELAY = 0.0005
# Seconds until a call that is replaced has ended, the newcomer being in its place already (18), and from an application
# that intercepts a call to the bridge between the two.
REPLACED_LAG = 0.019
BRIDGE_LAG = 0.06

# Channel-State-Number of the states that are ever seen
STATES = {
    "CS_ROUTING": 2,
    "CS_EXECUTE": 4,
    "CS_CONSUME_MEDIA": 7,
    "CS_HANGUP": 10,
    "CS_REPORTING": 11,
    "CS_DESTROY": 12,
}
MAX_DTMF = 99  # characters of digits to send, with their duration
MIN_KEY, USUAL_KEY, KEY_GAP = 50, 250, 250  # milliseconds
PAUSES = {"w": 0.5, "W": 1.0}  # seconds
# What the variable DIALSTATUS says of a cause, if that is not its name.
DIAL_STATUS = {"USER_BUSY": "BUSY", "NO_ANSWER": "NOANSWER", "ORIGINATOR_CANCEL": "CANCEL"}
CODECS = {"PCMU": ("8000", "64000"), "L16": ("8000", "128000")}  # rate and bits a second


@dataclass(frozen=True)
class CallerProfile:
    """Who calls whom, as the `Caller-` headers say. Empty values are left out of the events."""

    direction: str
    destination: str
    source: str
    username: str = ""
    dialplan: str = ""
    name: str = ""
    number: str = ""
    orig_name: str = ""
    orig_number: str = ""
    callee_name: str = ""
    callee_number: str = ""
    network_addr: str = ""
    transfer_source: str = ""
    context: str = "public"
    rdnis: str = ""
    logical_direction: str = ""  # if it is another
    index: int = 1
    created: int = 0  # microseconds since the epoch

    def flipped(self) -> CallerProfile:
        """Caller and callee change places: an outbound leg that begins to run applications itself."""
        return replace(
            self,
            name=self.callee_name,
            number=self.callee_number,
            callee_name=self.name,
            callee_number=self.number,
        )


class Host(Protocol):
    """What a call asks of its node."""

    clock: AnyClock
    variables: dict[str, str]
    channels: dict[str, Channel]
    files: dict[str, bytes]

    def micros(self) -> int: ...

    def changed(self) -> None: ...

    def emit(self, name: str, headers: Headers) -> None: ...

    def next_session(self) -> int: ...

    def dialplan(self, number: str) -> tuple[tuple[str, str], list[tuple[str, str]]]: ...

    def add_channel(self, channel: Channel) -> None: ...

    def remove_channel(self, channel: Channel) -> None: ...

    def show(self, channel: Channel) -> None: ...

    def enter_conference(self, channel: Channel, data: str) -> None: ...

    def connect(self, channel: Channel, data: str) -> None: ...

    def length_of(self, file: str) -> float | None: ...


@dataclass(eq=False)
class Played:
    """What `playback` plays to a call. `since`: when it began, once it is fetched."""

    data: str
    seconds: float = 0.0
    since: float | None = None


class Membership(Protocol):
    """What a call asks of its place in a conference."""

    @property
    def room(self) -> str: ...

    def listen(self) -> None: ...

    def leave(self) -> None: ...


class Channel:
    """A call leg. Times are microseconds since the epoch, 0 for not yet."""

    leave_lag = LEAVE_LAG
    # Whether the call that it is connected to ends for the same cause as this one.
    passes_cause_on = False

    def __init__(
        self, node: Host, name: str, profile: CallerProfile, codec: str, channel_uuid: str | None = None
    ) -> None:
        self.node = node
        self.uuid = channel_uuid or str(uuid.uuid4())
        self.name = name
        self.codec = codec
        self.read_codec = codec
        self.has_media = True
        self.profile = replace(profile, created=node.micros())
        self.first_profile = self.profile
        self.listed_destination = self.profile.destination
        self.created = self.profile.created
        self.progressed = 0  # it rings, or the number to which it is transferred
        self.bridged = 0  # that has answered
        self.answered = 0
        self.ended = 0
        self.running = "CS_INIT"
        self.requested = "CS_ROUTING"
        self.call_state = "DOWN"
        self.answer_state = "ringing"
        self.hit_dialplan = profile.direction == "inbound"
        self.hangup_cause: str | None = None
        self.ended_from_outside = False
        self.parked = False
        self.member: Membership | None = None
        self.playing: Played | None = None
        self._to_play: deque[str] = deque()
        self._picked = ""  # the one that is about to begin
        self.member_id = 0
        self.apps: deque[tuple[str, str]] = deque()
        self.app = self.app_data = ""
        self.variables: dict[str, str] = {}
        self.originator: Headers = []  # the headers about the call that this one asked for
        self.joined_to: Channel | None = None  # bridged with it, or listening in to it
        self.calling: Channel | None = None  # the call to the number to which it is transferred, until that answers
        self.keys = ""  # the digits that the far end was sent
        self.pressed = ""  # and those that it has sent
        self.recordings: dict[str, Recording] = {}  # by their paths
        self._recorded: dict[str, Headers] = {}  # what their events have besides
        self.sounding = False  # the far end sends audible sound
        self.sounding_since = 0.0  # seconds since the epoch: the phase of its 20 ms frames
        self._timers: list[Timer] = []

    # For tests and the rest of the emulator

    @property
    def state(self) -> str:
        """`parked`, `conference`, `gone`, or `busy` in between."""
        if self.hangup_cause is not None:
            return "gone"
        if self.member is not None:
            return "conference"
        return "parked" if self.parked else "busy"

    @property
    def conference(self) -> str | None:
        """The name of the conference this call is in."""
        return self.member.room if self.member else None

    def hangup(self, cause: str = "NORMAL_CLEARING") -> None:
        """The far end hangs up."""
        self.end(cause, received=True)

    def sound(self, audible: bool) -> None:
        """The far end begins or ceases to send audible sound: talking events follow if it is heard anywhere."""
        if audible != self.sounding:
            self.sounding, self.sounding_since = audible, self.node.clock.now()
            if self.member:
                self.member.listen()

    def send_dtmf(self, digits: str) -> bool:
        """Send `DIGITS@DURATION` to the far end. Whether any of it is a digit or pause (29)."""
        text, _, duration = digits.partition("@")
        found = re.sub("[^0-9A-Da-d*#wW]", "", text) if len(digits) <= MAX_DTMF else ""
        if found:
            each = max(MIN_KEY, int(duration or USUAL_KEY)) + KEY_GAP
            self.keys += re.sub("[wW]", "", found).upper()
            if self.variables.get("dtmf_type") == "info":
                # Whoever sends them by SIP waits for the pauses.
                self.node.clock.sleep(sum(PAUSES.get(one, 0) for one in found))
            self.set(("last_dtmf_duration", str(len(found) * each)))
            self.node.changed()
        return bool(found)

    def press(self, key: str, milliseconds: int = 160) -> None:
        """The far end presses a key, by RTP (32)."""
        self.pressed += key
        details = [("DTMF-Digit", key), ("DTMF-Duration", str(milliseconds * 8)), ("DTMF-Source", "RTP")]
        self.node.emit("DTMF", [*self.headers(), *details])

    # What is played to this call alone (34)

    def play(self, file: str) -> None:
        """Play a file, behind those that play or wait."""
        self._to_play.append(file)
        if not self.playing:
            self.later(PICK_LAG, self._pick)

    def stop_playing(self) -> None:
        """A frame later, what plays stops. What waits is forgotten, but for what is about to begin."""
        self._to_play.clear()
        if self.playing:
            self.later(SESSION_LAG, partial(self._played, self.playing, "FILE PLAYED"))

    def _pick(self) -> None:
        if self._to_play and not self.playing and not self._picked:
            self._picked = self._to_play.popleft()
            self.later(PLAY_LAG - PICK_LAG, self._begin)

    def _begin(self) -> None:
        if self._picked:
            file, self._picked = Played(self._picked), ""
            self.playing = file
            self.set(("current_loop", "1"), ("total_loops", "1"))
            self._run("playback", file.data)
            gevent.spawn(self._fetch, file)

    def _fetch(self, file: Played) -> None:
        seconds = self.node.length_of(file.data)
        if self.playing is not file:
            return
        if seconds is None:
            self._played(file, "FILE NOT FOUND")
        else:
            file.seconds, file.since = seconds, self.node.clock.now()
            self.later(seconds, partial(self._played, file, "FILE PLAYED"))

    def _played(self, file: Played, response: str) -> None:
        if self.playing is not file:
            return
        self.playing = None
        if file.since is not None:
            played = min(file.seconds, (self.node.clock.now() - file.since + 1e-6) // FRAME * FRAME)
            read = min(file.seconds, math.ceil(played / READ_AHEAD) * READ_AHEAD)
            self.set(
                ("playback_last_offset_pos", str(round(played * SAMPLES))),
                ("playback_seconds", str(int(read))),
                ("playback_ms", str(round(read * 1000))),
                ("playback_samples", str(round(read * SAMPLES))),
            )
        self.set(("current_application_response", response))
        self.emit(
            "CHANNEL_EXECUTE_COMPLETE",
            last=[
                ("Application", "playback"),
                ("Application-Data", file.data),
                ("Application-Response", response),
                ("Application-UUID", str(uuid.uuid4())),
            ],
        )
        self.variables.pop("current_loop", None)
        self.variables.pop("total_loops", None)
        self.later(PICK_LAG, self._pick)

    def _break_off(self, response: str) -> None:
        """Something else is to be done with this call."""
        if self.playing:
            self._played(self.playing, response)

    def hears(self, audible: bool) -> None:
        """The conference begins or ceases to play to this call."""

    # Variables

    def set(self, *variables: tuple[str, str | None]) -> None:
        """Set variables as the node does: one that exists moves to the end of the list. None sets nothing."""
        for name, value in variables:
            if value is not None:
                self.variables.pop(name, None)
                self.variables[name] = value

    def push(self, name: str, value: str) -> None:
        """Append to a variable that may hold several values; it keeps its place in the list."""
        old = self.variables.get(name)
        array = value if old is None else f"{old if old.startswith('ARRAY::') else 'ARRAY::' + old}|:{value}"
        self.variables[name] = array

    # Events

    def headers(self) -> Headers:
        """The headers that describe this channel, in the order of the node."""
        return [
            ("Channel-State", self.running),
            ("Channel-Call-State", self.call_state),
            ("Channel-State-Number", str(STATES[self.requested])),
            ("Channel-Name", self.name),
            ("Unique-ID", self.uuid),
            ("Call-Direction", self.profile.direction),
            ("Presence-Call-Direction", self.profile.direction),
            ("Channel-HIT-Dialplan", "true" if self.hit_dialplan else "false"),
            ("Channel-Call-UUID", self.uuid),
            ("Answer-State", self.answer_state),
            *([("Hangup-Cause", self.hangup_cause)] if self.hangup_cause else []),
            *(self._codec_headers() if self.has_media else []),
            *self._caller_headers(),
            *self.originator,
        ]

    def _codec_headers(self) -> Headers:
        return [
            (f"Channel-{way}-Codec-{what}", value)
            for way, codec in (("Read", self.read_codec), ("Write", self.codec))
            for what, value in zip(("Name", "Rate", "Bit-Rate"), (codec, *CODECS[codec]), strict=True)
        ]

    def _caller_headers(self) -> Headers:
        times = (self.created, self.answered, self.ended, self.progressed, self.bridged)
        return [(f"Caller-{name}", value) for name, value in self.party(self.profile, times)]

    def party(self, profile: CallerProfile, times: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)) -> Headers:
        """The headers about this call as a caller; `times`: created, answered, ended, ringing and bridged."""
        created, answered, ended, progressed, bridged = map(str, times)
        given = [
            ("Direction", profile.direction),
            ("Logical-Direction", profile.logical_direction or profile.direction),
            ("Username", profile.username),
            ("Dialplan", profile.dialplan),
            ("Caller-ID-Name", profile.name),
            ("Caller-ID-Number", profile.number),
            ("Orig-Caller-ID-Name", profile.orig_name),
            ("Orig-Caller-ID-Number", profile.orig_number),
            ("Callee-ID-Name", profile.callee_name),
            ("Callee-ID-Number", profile.callee_number),
            ("Network-Addr", profile.network_addr),
            ("ANI", profile.orig_number),
            ("Destination-Number", profile.destination),
            ("Unique-ID", self.uuid),
            ("Source", profile.source),
            ("Transfer-Source", profile.transfer_source),
            ("Context", profile.context),
            ("RDNIS", profile.rdnis),
            ("Channel-Name", self.name),
            ("Profile-Index", str(profile.index or "")),
            ("Profile-Created-Time", str(profile.created)),
            ("Channel-Created-Time", created),
            ("Channel-Answered-Time", answered),
            ("Channel-Progress-Time", progressed),
            ("Channel-Progress-Media-Time", "0"),
            ("Channel-Hangup-Time", ended),
            ("Channel-Transfer-Time", "0"),
            ("Channel-Resurrect-Time", "0"),
            ("Channel-Bridged-Time", bridged),
            ("Channel-Last-Hold", "0"),
            ("Channel-Hold-Accum", "0"),
            ("Screen-Bit", "true"),
            ("Privacy-Hide-Name", "false"),
            ("Privacy-Hide-Number", "false"),
        ]
        return [(name, value) for name, value in given if value]

    def emit(self, event: str, *first: tuple[str, str], last: Headers | None = None) -> None:
        variables = [(f"variable_{name}", value) for name, value in self.variables.items()]
        self.node.emit(event, [*first, *self.headers(), *variables, *(last or [])])

    # From creation to the applications

    def create(self) -> None:
        self.node.add_channel(self)
        self.emit("CHANNEL_CREATE")

    def route(self) -> None:
        """Let the node's dialplan say what to do with the number called, and do it."""
        matched, apps = self.node.dialplan(self.profile.destination)
        self.set(("DP_MATCH", f"ARRAY::{matched[0]}|:{matched[1]}"))
        self.execute(apps)

    def execute(self, apps: list[tuple[str, str]]) -> None:
        """Run applications in order, up to one in which the call stays."""
        self.apps = deque(apps)
        self.set(("call_uuid", self.uuid))
        self.running = self.requested = "CS_EXECUTE"
        self.next_app()

    def next_app(self) -> None:
        while self.apps and not self.hangup_cause:
            self._run(*self.apps.popleft())
            if APPLICATIONS.get(self.app, Channel._unknown_application)(self, self.app_data):
                return
        if not self.hangup_cause:
            self.end("NORMAL_CLEARING")

    def _run(self, app: str, data: str) -> None:
        """It begins to run an application."""
        self.app, self.app_data = app, data
        self.variables.pop("current_application_data", None)
        self.variables.pop("current_application_response", None)
        self.set(("current_application_data", data or None), ("current_application", app))
        self.node.show(self)

    def answer(self) -> None:
        """Mark the call answered; how its media comes up is the kind of channel's affair."""
        self.answered = self.node.micros()
        self.answer_state = "answered"
        if self.hit_dialplan:
            self.call_state = "RINGING"
        self.emit("CHANNEL_ANSWER")
        if self.hit_dialplan:
            self.call_state = "ACTIVE"

    def after_answer(self) -> None:
        """What the answer does after its event is fired."""

    def before_park(self) -> None:
        """What happens before CHANNEL_PARK is fired."""

    def take_over(self, app: str, data: str) -> None:
        """An outbound leg was answered and now runs an application itself: caller and callee change places."""
        self.set(
            ("endpoint_disposition", "ANSWER"),
            ("pre_transfer_caller_id_name", self.profile.name or None),
            ("pre_transfer_caller_id_number", self.profile.number or None),
            ("channel_cid_flipped", "yes"),
        )
        self.profile = self.profile.flipped()
        self.hit_dialplan = True
        self.call_state = "ACTIVE"
        self.execute([(app, data)])

    # Applications: True for one in which the call stays

    def _answer(self, _data: str) -> bool:
        if not self.answered:
            self.answer()
            self.set(("endpoint_disposition", "ANSWER"))
            self.after_answer()
        return False

    def _park(self, _data: str) -> bool:
        self.before_park()
        self.parked = True
        self.emit("CHANNEL_PARK")
        return True

    def _enter(self, data: str) -> bool:
        self.later(ENTER_DELAY, lambda: self.node.enter_conference(self, data))
        return True

    def _connect(self, data: str) -> bool:
        self.node.connect(self, data)
        return True

    def stop_ringing(self) -> None:
        """The number is called no more, or answers."""
        self.calling = None
        if self.call_state == "RING_WAIT":
            self.call_state, self.read_codec = "ACTIVE", self.codec
            self.set(("read_codec", self.codec), ("read_rate", CODECS[self.codec][0]))

    def not_connected(self, other: Channel, cause: str) -> None:
        """The number has not answered."""
        self.stop_ringing()
        self.set(("originate_disposition", cause), ("DIALSTATUS", DIAL_STATUS.get(cause, cause)))
        self.push("originate_causes", f"{other.uuid};{cause}")
        self.set(("originate_failed_cause", cause))

    def _hang_up(self, data: str) -> bool:
        self.end(data or "NORMAL_CLEARING")
        return True

    def _set(self, data: str) -> bool:
        name, _, value = data.partition("=")
        self.set((name, value))
        return False

    def _unknown_application(self, _data: str) -> bool:
        self.end("DESTINATION_OUT_OF_ORDER")
        return True

    def _stay(self, _data: str) -> bool:
        return True

    # Being moved

    def transfer(self, destination: str, dialplan: str = "XML", context: str = "") -> None:
        """Leave what it does, a frame later, for `destination`: a number, or the applications of an inline dialplan."""
        old = self.profile
        context = context or old.context
        source = f"{self.node.micros() // 1_000_000}:{uuid.uuid4()}:bl_xfer:{destination}/{context}/{dialplan}"
        self.profile = replace(
            old,
            dialplan=dialplan,
            destination=destination,
            context=context,
            rdnis=old.destination,
            transfer_source=source,
            index=old.index + 1,
            created=self.node.micros(),
        )
        forwards = self.variables.get("max_forwards")
        self.set(("max_forwards", "70" if forwards is None else str(atoi(forwards) - 1)))
        self.push("transfer_history", source)
        self.set(("transfer_source", source))
        self.listed_destination = destination
        self.requested = "CS_ROUTING"
        self.apps.clear()
        self.node.show(self)
        self.later(SESSION_LAG, self._arrive)

    def _arrive(self) -> None:
        if self._picked:
            # It lets the frames pass first.
            self.later(FRAME, self._arrive)
            return
        self.read_codec = self.codec
        self._break_off("PLAYBACK ERROR")
        self.leave()
        other, self.calling = self.calling or (self.joined_to if self.bridged else None), None
        if other:
            self.joined_to = other.joined_to = None
            other.end("NORMAL_CLEARING" if other.answered else "ORIGINATOR_CANCEL")
        if self.parked:
            self.parked = False
            self.emit("CHANNEL_UNPARK")
        if self.profile.dialplan.lower() == "inline":
            self.route_inline()
        else:
            self.route()

    def route_inline(self) -> None:
        """Run the applications that the destination itself names."""
        target, delimiter = self.profile.destination, ","
        if target.startswith("m:") and target[3:4] == ":":
            delimiter, target = target[2], target[4:]
        parts = (part.partition(":") for part in split(target, delimiter))
        self.profile = replace(self.profile, destination=self.profile.rdnis, rdnis="")
        self.execute([(app.strip(), data) for app, _, data in parts if app])

    def leave(self) -> bool:
        """Leave the conference. Whether it was in one."""
        if self.member is None:
            return False
        self.member.leave()
        self.read_codec = self.codec
        return True

    def left(self) -> None:
        """The conference application has ended."""
        self.set(("read_codec", self.codec), ("read_rate", CODECS[self.codec][0]))

    def kicked(self) -> None:
        """Out of the conference, and on to the next application."""
        if self.leave():
            self.left()
            self.next_app()

    # The end

    def later(self, delay: float, action: Callable[[], object]) -> None:
        """Do `action` after `delay` seconds, unless the call has ended by then."""
        self._timers.append(self.node.clock.call_later(delay, lambda: self.hangup_cause or action()))

    def kill(self, cause: str) -> None:
        """Hang up from this side, a frame later."""
        self.later(SESSION_LAG, lambda: self.end(cause))

    def record(self, path: str, limit: int, variables: Mapping[str, str]) -> bool:
        """Record it for `limit` seconds. Whether it can be: not before there is sound (42)."""
        if not self.has_media:
            return False
        if path not in self.recordings:
            stereo = variables.get("RECORD_STEREO") == "true"
            self._recorded[path] = [(f"Recording-Variable-{name}", value) for name, value in variables.items()]
            self.recordings[path] = Recording(path, self.node.clock.now(), 2 if stereo else 1, CALL_OVERHEAD)
            self.emit("RECORD_START", last=[("Record-File-Path", path), *self._recorded[path]])
            if limit:
                # Counted by the node's whole seconds.
                now = self.node.clock.now()
                self.later(math.floor(now) + limit - now, lambda: self.end_recording(path, "success-maxtime"))
        return True

    def control_recording(self, path: str, action: str) -> bool:
        """Pause it, resume it or stop it. Whether there is one."""
        recording = self.recordings.get(path)
        if recording is None:
            return False
        if action == "stop":
            self.end_recording(path, "success-maxtime")
        else:
            getattr(recording, action)(self.node.clock.now())
        return True

    def end_recording(self, path: str, cause: str) -> None:
        recording = self.recordings.pop(path, None)
        if recording is None:
            return
        now = self.node.clock.now()
        file, samples = recording.file(now), recording.samples(now)
        self.node.files[path] = file
        self.set(
            ("record_file_size", str(len(file))),
            ("record_samples", str(samples)),
            ("record_seconds", str(samples // RATE)),
            ("record_ms", str(samples * 1000 // RATE)),
            ("record_completion_cause", cause),
        )
        last = [("Record-File-Path", path), *self._recorded.pop(path), ("Record-Completion-Cause", cause)]
        self.emit("RECORD_STOP", last=last)

    def abandon_recordings(self) -> None:
        """The node's process has ended."""
        for path, recording in self.recordings.items():
            self.node.files[path] = recording.file(self.node.clock.now(), whole=False)

    def forget(self) -> None:
        """Do nothing any more of what was to come."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def legs(self) -> list[Channel]:
        """The legs that end together, in the order in which they do."""
        return [self]

    def end(self, cause: str, *, received: bool = False) -> None:
        """End the call. Legs that end together take turns, as their threads do (trace 16)."""
        cause = cause if cause in sip.CAUSES else "NORMAL_CLEARING"
        legs = [leg for leg in self.legs() if leg.hangup_cause is None]
        for leg in legs:
            leg.hangup_cause = cause
            leg.ended_from_outside = received
            leg.answer_state = "hangup"
            leg.requested = "CS_HANGUP"
        for _ in zip_longest(*[leg._ending(cause) for leg in legs]):
            pass
        for other in [other for other in self.node.channels.values() if other.joined_to is self]:
            passed_on = cause if self.passes_cause_on else "NORMAL_CLEARING"
            other.end(passed_on if other.answered else "ORIGINATOR_CANCEL")

    def _ending(self, cause: str) -> Iterator[None]:
        """The stages of a call's end, one at each step."""
        self.hang_up_far_end()
        lent_its_sound = self.leave() or self.app == "sofia_sla"
        self.set(*self.farewell())
        self.set(*self._unbridged())
        if self.calling:
            self.not_connected(self.calling, "ORIGINATOR_CANCEL")
        if lent_its_sound:
            self.left()
        self._break_off("FILE PLAYED")
        if self.parked:
            self.emit("CHANNEL_UNPARK")
            yield
        self.forget()
        self.ended = self.node.micros()
        self.running = "CS_HANGUP"
        for path in list(self.recordings):
            self.end_recording(path, "success-silence")
        self.running, self.requested, self.call_state = "CS_REPORTING", "CS_REPORTING", "HANGUP"
        number = sip.CAUSES[cause]
        # Q.850 goes up to 127; a cause of FreeSWITCH's own counts as a normal one there (21).
        q850 = number if number < 128 else sip.CAUSES["NORMAL_CLEARING"]
        self.set(("hangup_cause", cause), ("hangup_cause_q850", str(q850)))
        self.set(*self._record(), *self.closing())
        self.emit("CHANNEL_HANGUP_COMPLETE", ("Hangup-Cause", cause))
        yield
        self.requested = "CS_DESTROY"
        self.node.remove_channel(self)
        self.emit("CHANNEL_DESTROY")

    # Asking for another call instead of a number (RFC 3891), which skips the dialplan

    def ask_for(self, other: Channel, replaces: str, *, listens: bool, a_leg: bool) -> None:
        """Be named as `other` is, and go where it is, listen in to it, or be bridged with it."""
        app = f"{other.app}:{other.app_data}" if other.app_data else other.app
        if listens:
            app = f"sofia_sla:{other.uuid}"
        elif a_leg:
            app = f"intercept:{replaces}"
        was = replace(other.profile, index=0, created=0, transfer_source="")
        self.originator = [("Other-Type", "originator")]
        self.originator += [(f"Other-Leg-{name}", value) for name, value in other.party(was)]
        self.profile = replace(
            self.profile, dialplan="inline", destination=f"answer,{app}", name=was.name, number=was.number
        )
        self.first_profile = self.profile
        self.listed_destination = self.profile.destination
        if not listens and not a_leg:
            other.later(REPLACED_LAG, lambda: other.end("ATTENDED_TRANSFER"))

    def _listen_in(self, channel_uuid: str) -> bool:
        self.set(("sip_barging_uuid", channel_uuid))
        first, _, data = self.node.variables.get("execute_on_sip_barge", "").partition(" ")
        if first:
            APPLICATIONS[first](self, data)
        return self._stay_with(channel_uuid)

    def _intercept(self, channel_uuid: str) -> bool:
        other = self.node.channels.get(channel_uuid)
        if other and other.answered and self.node.variables.get("intercept_unanswered_only") == "true":
            return False
        if other and not other.hangup_cause:
            other.leave()
            other.parked = False
            self.later(BRIDGE_LAG, lambda: self._bridge(other))
        return self._stay_with(channel_uuid)

    def _bridge(self, other: Channel) -> None:
        other.joined_to = self
        other.app, other.app_data = "uuid_bridge", self.uuid
        self.node.show(other)
        self.emit("CHANNEL_BRIDGE", ("Bridge-A-Unique-ID", self.uuid), ("Bridge-B-Unique-ID", other.uuid))

    def _stay_with(self, channel_uuid: str) -> bool:
        self.joined_to = self.node.channels.get(channel_uuid)
        return self.joined_to is not None

    def _unbridged(self) -> sip.Variables:
        """What the end leaves of a transfer to a number that has answered (38)."""
        other = self.joined_to
        if not self.bridged or not other:
            return []
        if other.hangup_cause:
            proto = other.variables.get("proto_specific_hangup_cause")
            return [
                ("sip_hangup_phrase", "OK"),
                ("last_bridge_hangup_cause", other.hangup_cause),
                ("last_bridge_proto_specific_hangup_cause", proto),
                ("bridge_hangup_cause", other.hangup_cause),
            ]
        return [
            ("last_bridge_role", "originator"),
            ("sip_hangup_disposition", self.variables.get("sip_hangup_disposition")),
            ("bridge_hangup_cause", "NORMAL_CLEARING"),
        ]

    def hang_up_far_end(self) -> None:
        """End the call on the other emulated node, too, unless it was that one which hung up."""

    def farewell(self) -> sip.Variables:
        """The variables that the signalling of the end leaves, before the last events."""
        return []

    def closing(self) -> sip.Variables:
        """The variables behind the call's record."""
        return []

    def _record(self) -> sip.Variables:
        """The call's record: when it began and ended, how long it took, what it did last."""
        marks = {
            "start": self.created,
            "profile_start": self.profile.created,
            "answer": self.answered,
            "bridge": self.bridged,
            "progress": self.progressed,
            "end": self.ended,
        }
        zero = ("last_hold", "resurrect", "progress_media")
        name, number = self.profile.name, self.profile.number
        answer_wait = max(self.answered, self.created)
        stamps = [(f"{mark}_stamp", time_headers(at)[0][1] if at else None) for mark, at in marks.items()]
        epochs: dict[str, sip.Variables] = {
            mark: [(f"{mark}_epoch", str(at // 1_000_000)), (f"{mark}_uepoch", str(at))]
            for mark, at in {**marks, **dict.fromkeys(zero, 0)}.items()
        }
        return [
            ("digits_dialed", self.pressed or "none"),
            *stamps,
            *epochs["start"],
            *epochs["profile_start"],
            *epochs["answer"],
            *epochs["bridge"],
            *epochs["last_hold"],
            ("hold_accum_seconds", "0"),
            ("hold_accum_usec", "0"),
            ("hold_accum_ms", "0"),
            *epochs["resurrect"],
            *epochs["progress"],
            *epochs["progress_media"],
            *epochs["end"],
            ("last_app", self.app or None),
            ("last_arg", self.app_data or None),
            ("caller_id", f'"{name}" <{number}>' if name else number),
            *self._durations(answer_wait),
        ]

    def listed_party(self) -> dict[str, str]:
        """What `show channels` tells of the other side, where it does."""
        return {"call_uuid": self.uuid} if self.bridged else {}

    def _to_ring(self, unit: int) -> int:
        return self.progressed // unit - self.created // unit if self.progressed else 0

    def _durations(self, answered: int) -> Iterator[tuple[str, str]]:
        for prefix, unit, suffix in (("", 1_000_000, "sec"), ("m", 1000, "msec"), ("u", 1, "usec")):
            whole = self.ended // unit - self.created // unit
            talked = self.ended // unit - answered // unit if self.answered else 0
            yield f"{prefix}duration", str(whole)
            yield f"bill{suffix}", str(talked)
            yield f"progress{suffix}", str(self._to_ring(unit))
            yield f"answer{suffix}", str(answered // unit - self.created // unit)
            yield f"wait{suffix}", str(self.bridged // unit - self.created // unit if self.bridged else 0)
            yield f"progress_media{suffix}", "0"
            yield f"flow_bill{suffix}", str(whole if self.answered else 0)


APPLICATIONS: dict[str, Callable[[Channel, str], bool]] = {
    "answer": Channel._answer,
    "park": Channel._park,
    "conference": Channel._enter,
    "bridge": Channel._connect,
    "hangup": Channel._hang_up,
    "set": Channel._set,
    "intercept": Channel._intercept,
    "sofia_sla": Channel._listen_in,
    "playback": Channel._stay,
    "sleep": Channel._stay,
}
