"""mod_conference: rooms, their members, and what is played into and recorded from them.

A conference works in ticks of 20 ms, counted from its creation. Only ticks on which something happens are scheduled.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import gevent

from esl.emulator.channel import Channel
from esl.emulator.clock import AnyClock, Timer
from esl.emulator.media import Sound, generated
from esl.emulator.recording import Recording
from esl.emulator.wire import Headers, atoi, split_params

TICK = 0.020  # seconds
RATE = 8000  # samples a second of every conference
ENERGY_LEVEL = 100
SPEECH_ENERGY = 6400  # what a sounding call measures
VOICE_DELAY = 0.040  # seconds from a first sound to `start-talking`: what the node needs to be sure
VOICE_HANGOVER = 0.800  # seconds of silence to `stop-talking`
# The node counts every sample of a played file twice: a file of 1 s ends with `seconds: 2` (trace 05). Not those of a
# list of files (24), nor of one that plays beside the queue, unless the node makes it (37, 45).
COUNTED_TWICE = 2
VOLUMES = range(-4, 5)


class Host(Protocol):
    """What a conference asks of its node."""

    clock: AnyClock
    domain: str
    sounds: str
    files: dict[str, bytes]
    is_full: bool

    def emit_conference(self, action: str, headers: Headers, source: str | None = None) -> None: ...

    def fetch(self, file: str) -> Sound | None: ...

    def fetch_next(self, names: list[str]) -> tuple[str, Sound] | None: ...

    def emit_of_list(self, what: str, name: str) -> None: ...

    def length_of(self, file: str) -> float | None: ...

    def next_member_id(self) -> int: ...

    def remove_conference(self, conference: Conference) -> None: ...


@dataclass
class Flags:
    """What a member may do and does."""

    hear: bool = True
    speak: bool = True
    talking: bool = False
    hold: bool = False


@dataclass(eq=False)
class HeardFile:
    """A file that one member hears. `ticks`: how long it is, None if it has no end."""

    file: str
    ticks: int | None

    @property
    def params(self) -> Headers:
        return list(split_params(self.file)[0].items())


class Member:
    """A call in a conference. Its id counts per node and stays the call's: a call that rejoins has it again (03)."""

    def __init__(self, conference: Conference, channel: Channel, member_id: int, *, muted: bool, deaf: bool) -> None:
        self.conference = conference
        self.channel = channel
        self.id = member_id
        self.flags = Flags(hear=not deaf, speak=not muted)
        self.joined = self.last_talking = conference.node.clock.now()
        self.has_talked = False
        self.volume_in = 0
        self.volume_out = 0
        self.energy_level = atoi(channel.variables.get("conference_join_energy_level", str(ENERGY_LEVEL)))
        self.energy = 0
        # Members by whom it is not heard, by their ids, the newest in front. One that has left is still among them.
        self.unheard_by: list[int] = []
        # What it alone hears, and the tick at which the first of these began.
        self.heard_files: list[HeardFile] = []
        self._heard_since = 0
        self._voice: Timer | None = None

    @property
    def uuid(self) -> str:
        return self.channel.uuid

    @property
    def room(self) -> str:
        """The conference's name."""
        return self.conference.name

    @property
    def muted(self) -> bool:
        return not self.flags.speak

    def headers(self) -> Headers:
        flags = self.flags
        return [
            *self.conference.headers(),
            ("Floor", _bool(self.conference.floor is self)),
            *self.channel.headers(),
            ("Video", "false"),
            ("Hear", _bool(flags.hear)),
            ("See", "true"),
            ("Speak", _bool(flags.speak)),
            ("Talking", _bool(flags.talking)),
            ("Mute-Detect", "false"),
            ("Hold", _bool(flags.hold)),
            ("Member-ID", str(self.id)),
            ("Member-Type", "member"),
            ("Member-Ghost", "false"),
            ("Energy-Level", str(self.energy_level)),
            ("Current-Energy", str(self.energy)),
        ]

    def emit(self, action: str, *last: tuple[str, str]) -> None:
        self.conference.fire(action, [*self.headers(), ("Action", action), *last])

    def listen(self) -> None:
        """Look at what the call sends and what of it is let through, and see to it that talking begins or ends."""
        if self._voice:
            self._voice.cancel()
        if not self.channel.sounding:
            self.energy = 0
        audible = self.channel.sounding and self.flags.speak and not self.flags.hold
        if audible and not self.flags.talking:
            self._later(self._frame_delay() if self.energy else VOICE_DELAY, self._start_talking)
        elif not audible and self.flags.talking:
            self._later(VOICE_HANGOVER, self._stop_talking)

    def hear(self, file: str, seconds: float | None = None) -> None:
        """Queue a file that it alone hears. One without an end, as it is played to members on hold, ends with that."""
        self.heard_files.append(HeardFile(file, None if seconds is None else math.ceil(seconds / TICK - 1e-6)))
        if len(self.heard_files) == 1:
            self._hear_next()

    def hear_no_more(self) -> int:
        """These files close, one a tick (trace 33). How many there were."""
        tick = self.conference.next_tick()
        files, self.heard_files = self.heard_files, []
        for number, file in enumerate(files):
            played = 0 if number else tick - self._heard_since
            self.conference.node.clock.call_later((number + 1) * TICK, partial(self._heard, file, played, self))
        return len(files)

    def _hear_next(self) -> None:
        self._heard_since = self.conference.next_tick()
        file = self.heard_files[0]
        if file.ticks is not None:
            # It is seen a frame later that there is no more of it.
            self.conference.node.clock.call_later((file.ticks + 2) * TICK, partial(self._over, file))

    def _over(self, file: HeardFile) -> None:
        if self.heard_files[:1] == [file]:
            del self.heard_files[0]
            self._heard(file, file.ticks or 0, self)
            if self.heard_files:
                self._hear_next()

    def _heard(self, file: HeardFile, played: int, member: Member | None) -> None:
        samples = (1 if file.ticks else COUNTED_TWICE) * played * round(TICK * RATE)
        self.conference.emit(
            "play-file-member-done",
            [*counted(samples, RATE), *file.params],
            [*(member.headers() if member else []), ("File", file.file)],
        )

    def leave(self) -> None:
        # Its last two frames are not sent, and so not counted.
        tick = self.conference.next_tick() - 2
        files, self.heard_files = self.heard_files, []
        for number, file in enumerate(files):
            self._heard(file, 0 if number else max(0, tick - self._heard_since), None)
        self.conference.remove(self)

    def gone(self) -> None:
        """Nobody listens any more."""
        self.channel.variables.pop("conference_call_key", None)
        if self._voice:
            self._voice.cancel()

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        self._voice = self.conference.node.clock.call_later(delay, action)

    def _frame_delay(self) -> float:
        """Seconds to the next frame of a call that has been heard before."""
        since = self.conference.node.clock.now() - self.channel.sounding_since
        return TICK - since % TICK

    def _start_talking(self) -> None:
        self.flags.talking = self.has_talked = True
        self.energy = SPEECH_ENERGY
        self.last_talking = self.conference.node.clock.now()
        self.emit("start-talking")
        self.conference.talked(self)

    def _stop_talking(self) -> None:
        self.flags.talking = False
        self.emit("stop-talking")


def counted(samples: int, rate: int) -> Headers:
    """How much of a file was played."""
    return [
        ("seconds", str(samples // rate)),
        ("milliseconds", str(samples * 1000 // rate)),
        ("samples", str(samples)),
    ]


class PlayedFile:
    """A file in a conference's queue. `played` counts its ticks of 20 ms; `first` is the tick it (re)starts at.

    Of a list of files, `name` is the one that plays, and `names` are those to come. While the next is `loading`,
    nothing is heard.
    """

    def __init__(self, file: str, sound: Sound, name: str = "", names: list[str] | None = None) -> None:
        self.file = file
        self.params, self.url = split_params(file)
        self.sound = sound
        self.name, self.names = name, names or []
        self.counts = 1 if name else COUNTED_TWICE
        self.loading = False
        self.volume = atoi(self.params.get("vol", ""))
        self.ticks = math.ceil(sound.duration / TICK - 1e-6)
        self.played = 0
        self.first: int | None = None
        self.paused = False
        self.stopped = False

    def due(self, tick: int) -> int | None:
        """The next tick on which something happens to this file at the head of the queue, from tick `tick` on."""
        if self.stopped:
            return tick
        if self.paused or self.loading:
            return None
        return tick if self.first is None else self.first + self.ticks - self.played

    def hold(self, tick: int) -> None:
        """Book what was played before `tick`, and play no further."""
        if self.first is not None:
            self.played = min(self.ticks, self.played + max(0, tick - self.first))
            self.first = None

    def goes_on(self, tick: int, found: tuple[str, Sound] | None) -> None:
        """The next of its files, if there is one, plays from that tick on."""
        self.loading = False
        if found:
            self.name, sound = found
            self.sound = replace(self.sound, duration=self.sound.duration + sound.duration)
            self.ticks = math.ceil(self.sound.duration / TICK - 1e-6)
        if not self.paused:
            self.first = tick

    def counted(self) -> Headers:
        whole = self.played >= self.ticks
        seconds = self.sound.duration if whole else self.played * TICK
        rate = self.sound.rate
        return counted(self.counts * round(seconds * rate), rate)


class Conference:
    """A room. It exists from its first member's joining to the tick after its last member's leaving."""

    def __init__(self, node: Host, name: str, profile: str) -> None:
        self.node = node
        self.name = name
        self.profile = profile
        self.uuid = str(uuid.uuid4())
        self.created = node.clock.now()
        self.members: dict[int, Member] = {}
        self.queue: list[PlayedFile] = []
        self.beside: PlayedFile | None = None  # what plays at once, whatever else does
        self.recordings: dict[str, Recording] = {}
        self.floor: Member | None = None
        self.locked = False
        self._dismissed: list[Member] = []
        self._users = 0
        self._closed = self._abandoned = False
        self._wake: Timer | None = None
        self._waking_at: int | None = None
        self.emit("conference-create")

    @property
    def playing(self) -> PlayedFile | None:
        """The file at the head of the queue, paused or not."""
        return self.queue[0] if self.queue else None

    def newest_first(self) -> list[Member]:
        """The members in the order in which the node lists them."""
        return list(reversed(self.members.values()))

    def headers(self) -> Headers:
        return [
            ("Conference-Name", self.name),
            ("Conference-Domain", self.node.domain),
            ("Conference-Size", str(len(self.members))),
            ("Conference-Ghosts", "0"),
            ("Conference-Profile-Name", self.profile),
            ("Conference-Unique-ID", self.uuid),
        ]

    def emit(self, action: str, before: Headers | None = None, after: Headers | None = None) -> None:
        self.fire(action, [*self.headers(), *(before or []), ("Action", action), *(after or [])])

    def fire(self, action: str, headers: Headers, source: str | None = None) -> None:
        """Fire an event of this room, unless the process that held it is gone."""
        if not self._abandoned:
            self.node.emit_conference(action, headers, source)

    # Ticks

    def next_tick(self) -> int:
        """The number of the first tick that is still to come."""
        return math.floor((self.node.clock.now() - self.created) / TICK + 1e-3) + 1

    def plan(self) -> None:
        """See to it that the next tick on which something happens is not missed."""
        upcoming = self.next_tick()
        dues = [file.due(upcoming) for file in (*self.queue[:1], self.beside) if file]
        due = min((each for each in dues if each is not None), default=None)
        if not self.members or self.floor is None:
            due = upcoming
        if due == self._waking_at and self._wake:
            return
        if self._wake:
            self._wake.cancel()
        self._wake, self._waking_at = None, due
        if due is not None:
            delay = self.created + due * TICK - self.node.clock.now()
            self._wake = self.node.clock.call_later(delay, self._tick)

    def _tick(self) -> None:
        tick, self._wake, self._waking_at = self._waking_at or 0, None, None
        if self.members and self.floor is None:
            self.take_floor(self.newest_first()[0])
        if self.queue:
            self._play(self.queue[0], tick)
        if self.beside:
            self._play_beside(self.beside, tick)
        if self.members:
            self.plan()
        else:
            self._destroy(tick)

    def _play(self, head: PlayedFile, tick: int) -> None:
        if head.first is None and not head.stopped and not head.paused:
            head.first = tick
        ended = head.first is not None and head.first + head.ticks - head.played <= tick
        if ended and head.name and not head.stopped:
            self.node.emit_of_list("close", head.name)
            head.name = ""
        if ended and head.names and not head.stopped:
            head.hold(tick)
            head.loading = True
            gevent.spawn(self._load, head, tick)
        elif head.stopped or ended:
            head.hold(tick)
            self._close(self.queue.pop(0))

    def _play_beside(self, file: PlayedFile, tick: int) -> None:
        if file.first is None:
            file.first = tick
        if file.stopped or file.first + file.ticks - file.played <= tick:
            self.beside = None
            file.hold(tick)
            self._close(file, beside=True)

    def _load(self, head: PlayedFile, tick: int) -> None:
        found = self.node.fetch_next(head.names)
        head.goes_on(max(tick, self.next_tick() - 1), found)
        self.plan()

    def _close(self, file: PlayedFile, *, beside: bool = False) -> None:
        params = list(file.params.items())
        last = [("File", file.file), *([("Async", "true")] * beside)]
        self.emit("play-file-done", [*file.counted(), *params], last)
        if not self.queue and not self.beside:
            self._sound(False)

    def _destroy(self, tick: int) -> None:
        """The last member has left: everything closes. The head of the queue has got one more frame by now."""
        while self.queue:
            file = self.queue.pop(0)
            file.hold(tick + 1)
            self._close(file)
        if self.beside:
            file, self.beside = self.beside, None
            file.hold(tick)
            self._close(file, beside=True)
        for path in list(self.recordings):
            self.close_recording(path)
        self._closed = True
        self.node.remove_conference(self)
        self._end()

    def abandon(self) -> None:
        """The node's process has ended: nothing more happens here."""
        self._closed, self._abandoned = True, True
        if self._wake:
            self._wake.cancel()
        for recording in self.recordings.values():
            self.node.files[recording.path] = recording.file(self.node.clock.now(), whole=False)
        for member in self.members.values():
            member.gone()
            member.channel.forget()

    def _end(self) -> None:
        if self._closed and not self._users:
            self.emit("conference-destroy")

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """A command that takes its time: the room may empty meanwhile, but its end waits for the command's."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._end()

    # Members

    def add(self, channel: Channel, *, muted: bool, deaf: bool) -> Member:
        channel.member_id = channel.member_id or self.node.next_member_id()
        member = Member(self, channel, channel.member_id, muted=muted, deaf=deaf)
        self.members[member.id] = member
        channel.member = member
        channel.read_codec = "L16"
        channel.set(
            ("conference_name", self.name),
            ("app_session_uuid", self.uuid),
            ("read_codec", channel.read_codec),
            ("read_rate", str(RATE)),
            ("conference_member_id", str(member.id)),
            ("conference_moderator", "false"),
            ("conference_ghost", "false"),
            ("conference_uuid", self.uuid),
        )
        member.emit("add-member")
        key = f"conference_{self.name}_{self.node.domain}_{channel.profile.number}"
        channel.set(("conference_call_key", key))
        member.listen()
        if self.queue:
            channel.hears(True)
        self.plan()
        return member

    def remove(self, member: Member) -> None:
        """Let a member go: the floor falls, the member leaves, and a room left empty ends with its next tick."""
        if self.floor is member:
            self.floor = None
            self.emit("floor-change", after=[("Old-ID", "none"), ("New-ID", "none")])
        del self.members[member.id]
        member.gone()
        member.emit("del-member")
        member.channel.hears(False)
        member.channel.member = None
        self.plan()

    def dismiss(self, member: Member) -> None:
        """Have a member go a frame later. Those dismissed together go in the order in which they came (trace 09)."""
        if not self._dismissed:
            self.node.clock.call_later(0, self._let_go)
        self._dismissed.append(member)

    def _let_go(self) -> None:
        for member in sorted(self._dismissed, key=lambda member: member.id):
            member.channel.later(member.channel.leave_lag, partial(self._out, member))
        self._dismissed.clear()

    def _out(self, member: Member) -> None:
        if member.channel.member is member:
            member.channel.kicked()

    def take_floor(self, member: Member) -> None:
        old, self.floor = self.floor, member
        head = [*self.headers(), ("Action", "floor-change"), ("Old-ID", str(old.id) if old else "none")]
        self.fire("floor-change", [*head, *member.headers(), ("New-ID", str(member.id))])

    def talked(self, member: Member) -> None:
        """A member has begun to talk: it takes the floor from one who is silent."""
        if self.floor and self.floor is not member and not self.floor.flags.talking:
            self.take_floor(member)

    def _sound(self, audible: bool) -> None:
        """Whether something is being played: calls that end on another node carry it there."""
        for member in self.members.values():
            member.channel.hears(audible)

    # Playback

    def enqueue(self, file: PlayedFile) -> None:
        """Queue a file and say so. The event's parameters are those of the queue's head, whichever file that is.

        A room that closed while the file was fetched takes it all the same, and never plays it.
        """
        self.queue.append(file)
        head = list(self.queue[0].params.items())
        self.emit("play-file", head, [("File", file.file), ("Async", "false")])
        if not self._closed:
            self._sound(True)
            self.plan()

    def play_beside(self, file: PlayedFile) -> None:
        """Play a file at once, in the place of another one that plays so. Nothing changes for the queue (37)."""
        before, self.beside = self.beside, file
        file.counts = COUNTED_TWICE if generated(file.url) else 1
        if before:
            before.hold(self.next_tick())
            self._close(before, beside=True)
        head = list(self.queue[0].params.items()) if self.queue else []
        self.emit("play-file", head, [("File", file.file), ("Async", "true")])
        self._sound(True)
        self.plan()

    def refuse(self, file: str, *, beside: bool = False) -> None:
        """Say that a file cannot be played."""
        self.fire(
            "play-file",
            [
                *self.headers(),
                ("Action", "play-file"),
                ("File", file),
                ("Async", _bool(beside)),
                ("Error", "File could not be played"),
            ],
            source="play-file error",
        )

    def stop(self, files: list[PlayedFile]) -> int:
        """Have files close, one a tick. How many there were."""
        for file in files:
            file.stopped = True
        self.plan()
        return len(files)

    def toggle_pause(self) -> bool | None:
        """Pause or resume the head of the queue: whether it is paused now, or None if nothing plays."""
        head = self.playing
        if head is None:
            return None
        head.paused = not head.paused
        if head.paused:
            head.hold(self.next_tick())
        self.plan()
        return head.paused

    # Recording

    def cannot_record(self, path: str) -> None:
        error = [("Error", "File could not be opened for recording")]
        headers = [*self.headers(), ("Action", "start-recording"), ("Path", path), *error]
        self.fire("start-recording", headers, "start-recording error")
        others = [("Path", path), ("Other-Recordings", _bool(bool(self.recordings)))]
        counted = [("Samples-Out", "0"), ("Samplerate", str(RATE)), ("Milliseconds-Elapsed", "0")]
        self.emit("stop-recording", after=[*others, *counted])

    def close_recording(self, path: str) -> None:
        recording = self.recordings.pop(path, None)
        if recording:
            now = self.node.clock.now()
            file, samples = recording.file(now), recording.samples(now)
            self.node.files[path] = file
            self.emit(
                "stop-recording",
                after=[
                    ("Path", path),
                    ("Other-Recordings", _bool(bool(self.recordings))),
                    ("Samples-Out", str(samples)),
                    ("Samplerate", str(RATE)),
                    ("Milliseconds-Elapsed", str(samples * 1000 // RATE)),
                    ("Record-File-Size", str(len(file))),
                ],
            )


def _bool(value: bool) -> str:
    return "true" if value else "false"
