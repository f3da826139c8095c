"""Replays a recorded conversation with a FreeSWITCH node against the emulator, and compares what it answers.

The sent side of the trace is sent over a real socket; what happened outside (calls that came in and hung up) is read off
the trace and done to the emulator; its clock is moved to the times of the trace. What comes back has to be what the trace
received, but for what the table `NORMALISED` names.
"""

import json
import re
import socket
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from esl.emulator import Channel, Emulator, Invite, ManualClock, Sound, StaticMedia
from esl.emulator.sip import Address
from tests.e2e.gateway import fate_of

TRACES = Path(__file__).parent / "traces"
HOSTS = {"A": "127.0.0.1", "B": "127.0.0.2"}
PASSWORD = "ClueCon"

ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440024"  # of 24
SOUNDS = {
    "http://127.0.0.1:8098/tone1s.wav": Sound(1.0),
    "http://127.0.0.1:8098/tone2s.wav": Sound(2.0),
    "http://127.0.0.1:8098/tone30s.wav": Sound(30.0),
    "http://127.0.0.1:8098/tone2s.wav?second": Sound(2.0),
    **{f"http://127.0.0.1:8098/tone2s.wav#{ROOM}:55ee:{index}": Sound(2.0) for index in (0, 2)},
    "http://127.0.0.1:8098/slow/tone1s.wav?first": Sound(1.0, download_seconds=2.0),
}

GATEWAY = "127.0.0.1:5071"  # which nodes were told to call (27, 28)
PATIENCE = 5.0  # seconds of real time to wait for what the emulator should say at once
CACHED_TIME = 0.020  # seconds for which the node stamps events with the same time
INSTANT = 1e-5  # seconds that do not matter
TIME_TOLERANCE = 0.031  # seconds between a time of the trace and the emulator's: a cached time and a half


# The trace


@dataclass(frozen=True)
class Frame:
    """One frame as received: its head, and for an event the event's own headers, values still escaped."""

    raw: str

    @property
    def head(self) -> list[tuple[str, str]]:
        return _pairs(self.raw.partition("\n\n")[0])

    @property
    def body(self) -> str:
        return self.raw.partition("\n\n")[2]

    @property
    def is_event(self) -> bool:
        return ("Content-Type", "text/event-plain") in self.head

    @property
    def event(self) -> list[tuple[str, str]]:
        return _pairs(self.body.partition("\n\n")[0])

    @property
    def payload(self) -> str:
        """What follows the event's headers: a job's result."""
        return self.body.partition("\n\n")[2]

    def get(self, header: str) -> str | None:
        """The first value of an event's header, unescaped."""
        return next((unquote(value) for name, value in self.event if name == header), None)

    @property
    def order(self) -> str:
        """Of what is told in one order, as below: `reply`, `event` or `originate`."""
        if not self.is_event:
            return "reply"
        return "originate" if self.get("Job-Command") == "originate" else "event"

    def __str__(self) -> str:
        if not self.is_event:
            return repr(self.raw[:120])
        return " ".join(filter(None, (self.get(name) for name in ("Event-Name", "Action", "Job-Command-Arg"))))


@dataclass(frozen=True)
class Step:
    """One line of a trace; `t` is seconds since its start."""

    t: float
    node: str
    sent: bool
    frame: Frame


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (line.partition(": ") for line in text.split("\n"))]


def load(name: str) -> list[Step]:
    rows = (json.loads(line) for line in (TRACES / name).read_text().splitlines())
    return [Step(row["t"], row["node"], row["dir"] == "send", Frame(row["raw"])) for row in rows if "raw" in row]


def received_events(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if not step.sent and step.frame.is_event]


def clock_offset(steps: list[Step]) -> float:
    """The epoch of the trace's t = 0, as near as its events' times tell: they are looked up every 20 ms, so late."""
    stamps = (int(step.frame.get("Event-Date-Timestamp") or 0) / 1e6 - step.t for step in received_events(steps))
    return max(stamps, default=1_795_374_230.0)


# What happened outside


@dataclass(frozen=True)
class Stimulus:
    """Something done to the node from outside at `t`."""

    t: float
    act: Callable[["Replay"], None]


def killed(name: str) -> list[Stimulus]:
    """The nodes whose process was killed, as the trace notes."""
    rows = map(json.loads, (TRACES / name).read_text().splitlines())
    return [Stimulus(row["t"], _killing(row["node"])) for row in rows if row.get("note") == "killed"]


def hung_up(name: str) -> list[Stimulus]:
    """The calls to numbers whose far end hung up, as the trace notes where it does not show their own events."""
    rows = map(json.loads, (TRACES / name).read_text().splitlines())
    return [
        Stimulus(row["t"], _far_end_hanging_up(row["node"], row["channel"]))
        for row in rows
        if row.get("note") == "far end hangs up"
    ]


def _killing(node: str) -> Callable[["Replay"], None]:
    return lambda replay: replay.nodes[node].stop()


def stimuli(steps: list[Step]) -> list[Stimulus]:
    """The calls that came in from SIP phones, the keys pressed there, and their hanging up.

    Their times are the latest that the first event of it allows: not after its frame, which the node sends up to 20 ms
    late, and not after the node's cached time that it is stamped with has expired.
    """
    found: list[Stimulus] = []
    start = clock_offset(steps)

    def when(step: Step) -> float:
        stamp = int(step.frame.get("Event-Date-Timestamp") or 0) / 1e6 - start
        return min(step.t, stamp + CACHED_TIME - INSTANT)

    events = received_events(steps)
    calls = {
        step.frame.get("Unique-ID"): step
        for step in events
        if step.frame.get("Event-Name") == "CHANNEL_CREATE"
        and step.frame.get("Caller-Source") == "mod_sofia"
        and step.frame.get("variable_sip_contact_user") != "mod_sofia"
    }
    for uuid, created in calls.items():
        later = [step for step in events if step.frame.get("Unique-ID") == uuid]
        found.append(Stimulus(when(created), _calling(created.node, uuid or "", invite(later))))
        found += [
            Stimulus(when(step), _pressing(uuid or "", step.frame))
            for step in later
            if step.frame.get("Event-Name") == "DTMF"
        ]
        over = next((step for step in later if step.frame.get("Answer-State") == "hangup"), None)
        if over and later[-1].frame.get("variable_sip_hangup_disposition") == "recv_bye":
            before = events[events.index(over) - 1]
            fell = before.frame.get("New-ID") == "none" and before.node == over.node
            found.append(Stimulus(when(before if fell else over), _hanging_up(uuid or "")))
    for uuid in {
        step.frame.get("Unique-ID") for step in events if step.frame.get("variable_accountcode") == "switchroom"
    }:
        later = [step for step in events if step.frame.get("Unique-ID") == uuid]
        over = next(step for step in later if step.frame.get("Answer-State") == "hangup")
        if later[-1].frame.get("variable_sip_hangup_disposition") == "recv_bye":
            found.append(Stimulus(when(over), _far_end_hanging_up(over.node, uuid or "")))
    return found


def invite(events: list[Step]) -> Invite:
    """The INVITE, and what else the caller sent, from the events of its call."""
    first, last = events[0].frame, events[-1].frame
    parked = parking(events)

    def said(name: str, frame: Frame = first) -> str:
        """A SIP text cannot hold a line feed: an escape for one was an escape already in the text."""
        value = next((value for header, value in frame.event if header == f"variable_{name}"), "")
        return unquote(value.replace("%0A", "%250A"))

    prefix = "variable_sip_h_"
    return Invite(
        to=said("sip_to_user"),
        user=said("sip_from_user"),
        display=said("sip_from_display"),
        source=Address(said("sip_contact_host"), int(said("sip_contact_port"))),
        headers={name[len(prefix) :]: said(name[9:]) for name, _ in first.event if name.startswith(prefix)}
        | asked(first),
        call_id=said("sip_call_id"),
        from_tag=said("sip_from_tag"),
        branch=said("sip_full_via").rpartition("branch=")[2],
        ack_branch=said("sip_full_via", last).rpartition("branch=")[2],
        media_port=int(said("remote_media_port")),
        sdp=first.get("variable_switch_r_sdp"),
        ack=acknowledged(parked),
    )


def asked(created: Frame) -> dict[str, str]:
    """The headers by which a caller asked for another call."""
    prefix = "variable_sip_replaces_"
    given = {name[len(prefix) :]: unquote(value) for name, value in created.event if name.startswith(prefix)}
    call_id, info = given.pop("call_id", ""), created.get("variable_sip_call_info")
    parameters = "".join(f";{name}={value}" for name, value in given.items())
    headers = {"Replaces": call_id + parameters if call_id else "", "Call-Info": info or ""}
    return {name: value for name, value in headers.items() if value}


def parking(events: list[Step]) -> Frame:
    """The event that tells that a call is parked for the first time; of one that never is, the last."""
    parked = (step.frame for step in events if step.frame.get("Event-Name") == "CHANNEL_PARK")
    return next(parked, events[-1].frame)


def acknowledged(parked: Frame) -> Literal["answered", "parking", "later"]:
    """Where the caller's ACK came in, from where its variables stand in the event that tells of the parking."""
    names = [name for name, _ in parked.event]
    if "variable_sip_to_tag" not in names:
        return "later"
    early = names.index("variable_sip_to_tag") < names.index("variable_current_application")
    return "answered" if early else "parking"


def _calling(node: str, uuid: str, invite: Invite) -> Callable[["Replay"], None]:
    def act(replay: "Replay") -> None:
        headers = {name: replay.comparison.translate(value) for name, value in invite.headers.items()}
        replay.calls[uuid] = replay.nodes[node].call(to=invite.to, invite=replace(invite, headers=headers))

    return act


def _pressing(uuid: str, pressed: Frame) -> Callable[["Replay"], None]:
    key, milliseconds = pressed.get("DTMF-Digit") or "", int(pressed.get("DTMF-Duration") or 0) // 8
    return lambda replay: replay.calls[uuid].press(key, milliseconds)


def _hanging_up(uuid: str) -> Callable[["Replay"], None]:
    return lambda replay: replay.calls[uuid].hangup()


def _far_end_hanging_up(node: str, uuid: str) -> Callable[["Replay"], None]:
    return lambda replay: replay.nodes[node].channels[replay.comparison.translate(uuid)].hangup()


# The comparison

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
Compare = Callable[[str, str], bool]


def number(expected: str, actual: str) -> bool:
    """Both numbers, whatever they are."""
    return all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in (expected, actual))


def some(expected: str, actual: str) -> bool:
    """Both zero or both not."""
    return number(expected, actual) and (expected == "0") == (actual == "0")


def any_of(*values: str) -> Compare:
    """Whichever of the values."""
    return lambda expected, actual: {expected, actual} <= set(values)


def near(tolerance: float) -> Compare:
    """Numbers that differ by so much at most."""

    def compare(expected: str, actual: str) -> bool:
        return number(expected, actual) and abs(float(expected) - float(actual)) <= tolerance

    return compare


def masked(pattern: str) -> Compare:
    """Equal but for what the pattern matches, which has to be there as often in both."""

    def compare(expected: str, actual: str) -> bool:
        return re.sub(pattern, "<>", expected) == re.sub(pattern, "<>", actual)

    return compare


@dataclass(frozen=True)
class Rule:
    """Headers, by `fnmatch` patterns, whose values are compared in another way than for equality; and why.

    `traces`: in which, by patterns as well.
    """

    names: str
    compare: Compare
    why: str
    traces: str = "*"


def belongs(trace: str, patterns: str) -> bool:
    return any(fnmatchcase(trace, pattern) for pattern in patterns.split())


MICROS = near(TIME_TOLERANCE * 1e6)

# Traces of legs, and of a call between two loopback channels that moves again and again (23, 33). Both ends take their turns,
# of 20 ms each: the same moment is up to so many seconds off.
LEGS = "19_* 20_* 21_* 22_* 23_* 27_* 28_* 33_* 34_* 35_* 37_* 38_* 39_* 40_* 45_*"
LEG_TOLERANCE = 0.1
ACROSS_NODES = f"11_* {LEGS}"

# The only differences that are let through. The first rule that fits a header counts. Besides, every UUID of the trace
# has to stand for one UUID of the emulator throughout, and the other way round.
FRAMES = "a recording begins and ends with frames of the call, a few sooner or later"
NORMALISED = (
    Rule("Event-Sequence", number, "counts all events, also of the kinds that the emulator does not fire"),
    Rule(
        "Event-Date-Timestamp Caller-*-Time Other-Leg-*-Time variable_*_uepoch variable_sip_invite_stamp variable_uduration"
        " variable_*usec",
        near(2 * LEG_TOLERANCE * 1e6),
        "moments, and their differences",
        LEGS,
    ),
    Rule("variable_mduration variable_*msec", near(2 * LEG_TOLERANCE * 1e3), "differences of moments", LEGS),
    Rule("Event-Date-*", masked(r"\d\d%3A\d\d%3A\d\d"), "the same moment in words", LEGS),
    Rule("Event-Date-Timestamp", MICROS, "the same moment, give or take the cached time of the node"),
    Rule("Caller-*-Time variable_*_uepoch variable_sip_invite_stamp", MICROS, "moments"),
    Rule("variable_uduration variable_*usec", near(2 * TIME_TOLERANCE * 1e6), "differences of moments"),
    Rule("variable_mduration variable_*msec", near(2 * TIME_TOLERANCE * 1e3), "differences of moments"),
    Rule("Talking Current-Energy", any_of("true", "false", "0", "1"), "noise in silence passes as sound", LEGS),
    Rule("variable_record_samples", near(480), FRAMES),
    Rule("variable_record_ms", near(60), FRAMES),
    Rule("variable_record_file_size", near(1920), FRAMES),
    Rule("Current-Energy", some, "loudness; the emulator carries no audio"),
    Rule("variable_rtp_audio_*", number, "counters of RTP packets; the emulator sends none"),
    Rule("variable_rtp_use_ssrc variable_local_media_port variable_sip_cseq", number, "the node's own choice"),
    Rule("variable_sip_to_tag", masked(r"^\w{13}$"), "the node's own choice"),
    Rule("variable_sip_full_to", masked(r"tag%3D\w{13}$"), "the tag is the node's own choice"),
    Rule(
        "variable_rtp_local_sdp_str",
        masked(r"FreeSWITCH%20\d{10}%20\d{10}|audio%20\d{5}"),
        "session number and port are the node's own choice",
    ),
    Rule(
        "variable_switch_r_sdp variable_switch_m_sdp variable_remote_media_port variable_sip_from_tag"
        " variable_sip_full_via variable_sip_recover_via variable_sip_full_from",
        masked(r"FreeSWITCH%20\d{10}%20\d{10}|audio%20\d{5}|^\d{5}$|branch%3D[\w-]+|tag%3D\w+|^\w{13}$|rport%3D\d+$"),
        "the same choices of the other node, as the caller",
        traces=ACROSS_NODES,
    ),
    Rule(
        "variable_sip_network_port variable_sip_received_port variable_sip_via_rport",
        number,
        "the other node's end of the TCP connection",
        traces=LEGS,
    ),
    Rule(
        "variable_sip_user_agent",
        masked(r"release.*64bit$"),
        "how the node was built",
        traces=LEGS,
    ),
)

# What the ACK of another node sets in a leg's variables. It races with the dialplan that answered, and comes before the
# conference, behind it or in between: compared wherever it stands.
ACKNOWLEDGED = {
    f"variable_sip_{name}"
    for name in "to_tag from_tag cseq call_id full_via recover_via full_from full_to".split()  # noqa: SIM905
}

# The same for texts: what is cut out of replies, results and listings on both sides before they are compared.
TEXTS = {r"UP 0 years.*": "how long the node has been up"}


# What is received in three orders, each compared with the trace's; between them only this is checked: a command is
# answered before the next is sent, and a job's reply comes before its result.
#   replies | events | why the trace's order between them is not asked for
#   all     | all    | The node's listener thread sends events when it looks for them, every 20 ms or after a command. An
#           |        | event that has happened may so be read before or after the reply to a command sent meanwhile: of
#           |        | the same `floor-change`, 20 ms after a join, 03 reads it behind a reply, 13 without one. The
#           |        | emulator sends an event at once.
#   results | events | The job of an `originate` and the call that it has made are two threads: 19 tells of the result
#   of an   |        | before the call's `add-member`, and 22 behind. Of a refused call it comes before CHANNEL_DESTROY
#   originate        | or behind (20).


@dataclass
class Comparison:
    """Compares frames; remembers which UUID of the emulator stands for which of the trace, and what it let through."""

    trace: str
    uuids: dict[str, str] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)

    @property
    def legs(self) -> bool:
        return belongs(self.trace, LEGS)

    def differences(self, expected: Frame, actual: Frame) -> list[str]:
        """What of `actual` is not as `expected`, in words; nothing if all is well."""
        lengths = [value for name, value in actual.head if name == "Content-Length"]
        found = [] if lengths in ([], [str(len(actual.body.encode()))]) else [f"Content-Length {lengths}"]
        if expected.is_event and actual.is_event:
            found += self._headers(expected.event, actual.event) + self._text("body", expected.payload, actual.payload)
            return found
        strip = [[pair for pair in frame.head if pair[0] != "Content-Length"] for frame in (expected, actual)]
        return found + self._headers(*strip) + self._text("body", expected.body, actual.body)

    def _headers(self, expected: list[tuple[str, str]], actual: list[tuple[str, str]]) -> list[str]:
        if self.legs:
            expected, actual = (sorted(side, key=lambda pair: pair[0] in ACKNOWLEDGED) for side in (expected, actual))
        names, got = ([name for name, _ in side] for side in (expected, actual))
        if names != got:
            missing = [name for name in names if name not in got]
            extra = [name for name in got if name not in names]
            first = next((pair for pair in zip(names, got, strict=False) if pair[0] != pair[1]), None)
            return [f"headers differ: missing {missing}, unexpected {extra}, first out of order {first}"]
        pairs = zip(names, (value for _, value in expected), (value for _, value in actual), strict=True)
        return [
            f"{name}: expected {wanted!r}, got {value!r}"
            for name, wanted, value in pairs
            if not self._same_value(name, wanted, value)
        ]

    def _same_value(self, name: str, expected: str, actual: str) -> bool:
        if name == "Content-Length":
            return True
        same = self._same_text(expected, actual)
        for rule in NORMALISED:
            pattern = next((pattern for pattern in rule.names.split() if fnmatchcase(name, pattern)), None)
            if pattern and belongs(self.trace, rule.traces):
                if not same:
                    self.needed.add(pattern)
                return rule.compare(expected, actual)
        return same

    def _same_text(self, expected: str, actual: str) -> bool:
        if UUID.split(expected) != UUID.split(actual):
            return False
        return all(map(self._same_uuid, UUID.findall(expected), UUID.findall(actual)))

    def _same_uuid(self, expected: str, actual: str) -> bool:
        if expected not in self.uuids and actual in self.uuids.values():
            return False
        return self.uuids.setdefault(expected, actual) == actual

    def _text(self, what: str, expected: str, actual: str) -> list[str]:
        for pattern in TEXTS:
            if re.findall(pattern, expected) != re.findall(pattern, actual):
                self.needed.add(pattern)
            expected, actual = (re.sub(pattern, "<>", text) for text in (expected, actual))
        return [] if self._same_text(expected, actual) else [f"{what}: expected {expected!r}, got {actual!r}"]

    def translate(self, text: str) -> str:
        """What the trace sent, with the emulator's UUIDs."""
        return UUID.sub(lambda found: self.uuids.get(found[0], found[0]), text)


# The replay


class Connection:
    """A client's connection to the emulator that keeps replies, events and results of `originate` in their orders."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=PATIENCE)
        self._data = b""
        self._frames = 0
        self._orders: dict[str, deque[Frame]] = {order: deque() for order in ("reply", "event", "originate")}
        self.arrival: dict[str, int] = {}  # number of the frame that brought a job's reply, by the job's UUID

    def send(self, text: str) -> None:
        """Send a command, and see that it is done before time moves on: each gets a reply at once."""
        replies = self._orders["reply"]
        waiting = len(replies)
        self._socket.sendall(text.encode())
        while len(replies) == waiting and self._receive():
            pass

    def has(self, order: str) -> bool:
        """Whether a frame of that order is there, or comes without time moving on."""
        self._socket.settimeout(CACHED_TIME)
        try:
            while not self._orders[order] and self._receive():
                pass
        finally:
            self._socket.settimeout(PATIENCE)
        return bool(self._orders[order])

    def next(self, order: str) -> Frame | None:
        """The next frame of that order; None if the node closes the connection or says nothing for so long."""
        queue = self._orders[order]
        while not queue:
            if not self._receive():
                return None
        return queue.popleft()

    def rest(self) -> list[Frame]:
        """What is left when the node has closed the connection."""
        while self._receive():
            pass
        self._socket.close()
        return [frame for queue in self._orders.values() for frame in queue]

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(65536)
        except (TimeoutError, ConnectionResetError):  # it says nothing, or was killed
            return False
        self._data += data
        while frame := self._cut():
            self._frames += 1
            job = frame.get("Job-UUID") if frame.is_event else dict(frame.head).get("Job-UUID")
            if frame.is_event and frame.get("Event-Name") == "BACKGROUND_JOB":
                assert job in self.arrival, "a job's result came before the reply that names the job"
            elif job:
                self.arrival[job] = self._frames
            self._orders[frame.order].append(frame)
        return bool(data)

    def _cut(self) -> Frame | None:
        head, blank, rest = self._data.partition(b"\n\n")
        if not blank:
            return None
        length = re.search(rb"Content-Length: (\d+)", head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return None
        self._data = rest[size:]
        return Frame((head + blank + rest[:size]).decode())


class Replay:
    """One trace against as many emulated nodes as it was recorded from."""

    def __init__(self, name: str) -> None:
        self.steps = load(name)
        self.start = clock_offset(self.steps)
        self.clock = ManualClock(self.start)
        self.comparison = Comparison(name)
        self.calls: dict[str, Channel] = {}
        self.nodes = {node: self._node(node) for node in sorted({step.node for step in self.steps})}
        self.connections: dict[str, Connection] = {}
        self._stimuli = deque(
            sorted(stimuli(self.steps) + killed(name) + hung_up(name), key=lambda stimulus: stimulus.t)
        )

    def _node(self, name: str) -> Emulator:
        """A node that has lived through what the recorded one had before the trace began."""
        node = Emulator(PASSWORD, HOSTS[name], clock=self.clock, media=StaticMedia(SOUNDS), bridge_port=5090)
        node.hostname = "vm"
        node.gateways[GATEWAY] = lambda number, _: fate_of(number)
        node.variables.clear()
        node.sounds = "/opt/switch-abcd/sounds"
        node.sessions_so_far = self._first(name, "variable_session_id") - 1
        node.members_so_far = self._first(name, "Member-ID") - 1
        return node

    def _first(self, node: str, header: str) -> int:
        values = (step.frame.get(header) for step in received_events(self.steps) if step.node == node)
        return next((int(value) for value in values if value), 1)

    def run(self) -> list[str]:
        """All differences, in the order of the trace."""
        for node in self.nodes.values():
            node.start()
        found: list[str] = []
        try:
            for step in self.steps:
                found += [f"{step.t} {step.node} {step.frame}: {what}" for what in self._step(step)]
            for name, connection in self.connections.items():
                found += [f"{name}: beyond the trace: {frame}" for frame in connection.rest()]
        finally:
            for node in self.nodes.values():
                node.stop()
        return found

    def _step(self, step: Step) -> list[str]:
        while self._stimuli and self._stimuli[0].t <= step.t + INSTANT:
            stimulus = self._stimuli.popleft()
            self.clock.advance_to(self.start + stimulus.t)
            stimulus.act(self)
        self.clock.advance_to(self.start + step.t)
        if step.sent:
            self.connections[step.node].send(self.comparison.translate(step.frame.raw))
            return []
        if step.frame.raw == "Content-Type: auth/request\n\n":
            self.connections[step.node] = Connection(self.nodes[step.node].address)
        late = self.start + step.t + LEG_TOLERANCE
        while (
            self.comparison.legs and self.clock.now() < late and not self.connections[step.node].has(step.frame.order)
        ):
            self.clock.advance(CACHED_TIME)
        actual = self.connections[step.node].next(step.frame.order)
        if actual is None:
            return ["the node did not say it"]
        return self.comparison.differences(step.frame, actual)
