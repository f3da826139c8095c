"""Legs between real nodes with `freeswitch-conf/`: what they carry, who gets in, and how they end."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
import time
import uuid
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from esl.commands import (
    LEG_NAME,
    MEDIA_TIMEOUT,
    AnnounceLeg,
    Command,
    DialLeg,
    Hangup,
    Join,
    JsonList,
    Kick,
    MemberCommand,
    ShowChannels,
    WithdrawLeg,
)
from esl.connection import Connection
from tests.e2e.freeswitch import FreeSwitch, find_binary
from tests.e2e.nodes import PREFIX
from tests.e2e.phone import Phone, coded_tone, decoded

pytestmark = pytest.mark.freeswitch

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
TONE, SENT, PLAYED = 440.0, -12.0, 1000.0
INAUDIBLE, TOLERANCE = -55.0, 1.0  # dB
NOTICED = MEDIA_TIMEOUT / 1000 + 2  # seconds, however busy the machine
HOSTILE = "${global_setvar(found=1)}"
_numbers = itertools.count(1)


class Node:
    def __init__(self, folder: Path, binary: str, host: str) -> None:
        peers = ",".join(f"{peer}/32" for peer in HOSTS)
        self.host = host
        self.freeswitch = FreeSwitch(folder, binary, PREFIX=PREFIX, BRIDGE_IP=host, PEERS=peers)
        self.connect()

    def connect(self) -> None:
        host, _, port = self.freeswitch.esl.partition(":")
        self._esl = Connection(host, int(port), self.freeswitch.password, on_event=lambda _: None)
        self._esl.connect()

    def api(self, command: Command | str) -> str:
        return self._esl.api(command)

    def members(self, room: str) -> set[str]:
        """The channels of those in the node's conference."""
        rooms = json.loads(self.api(JsonList()))
        return {one["uuid"] for found in rooms if found["conference_name"] == room for one in found["members"]}

    def wait_members(self, room: str, wanted: set[str], timeout: float = 5) -> None:
        with gevent.Timeout(timeout):
            while self.members(room) != wanted:
                gevent.sleep(0.02)

    def channels(self) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = json.loads(self.api(ShowChannels()), strict=False).get("rows", [])
        return rows


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    binary = find_binary()
    if binary is None:
        pytest.skip("boots nodes of its own: no freeswitch on the PATH nor in FREESWITCH_BIN")
    booted = [Node(tmp_path_factory.mktemp("node"), binary, host) for host in HOSTS]
    yield booted
    for node in booted:
        node.freeswitch.terminate()
    for node in booted:
        node.freeswitch.stop()


@pytest.fixture
def room() -> str:
    return f"{PREFIX}-room-{uuid.uuid4()}"


def dial(node: Node, source: Node, room: str, leg: str) -> str:
    """What the dialling node prints."""
    return node.api(DialLeg(leg, room, "default", source.freeswitch.bridge, PREFIX))


def join(node: Node, source: Node, room: str) -> str:
    """The leg that joins a node's conference with that of the source, up on both."""
    leg = str(uuid.uuid4())
    source.api(AnnounceLeg(leg, room, "default"))
    assert dial(node, source, room, leg) == f"+OK {leg}\n"
    for one in (node, source):
        with gevent.Timeout(5):
            while leg not in one.members(room):
                gevent.sleep(0.02)
    return leg


@pytest.fixture
def enter() -> Iterator[Callable[..., tuple[Phone, str]]]:
    """A caller in a room: the phone and the channel."""
    phones: list[Phone] = []

    def enter(node: Node, room: str, tone: float = 0.0) -> tuple[Phone, str]:
        caller_id = f"52718{next(_numbers):04d}"
        phones.append(Phone(node.freeswitch.sip, "747713001", caller_id, tone, SENT))
        with gevent.Timeout(5):
            while not (parked := [row for row in node.channels() if row["cid_num"] == caller_id]):
                gevent.sleep(0.02)
        channel = parked[0]["uuid"]
        node.api(Join(channel, room, "default", ()))
        with gevent.Timeout(5):
            while channel not in node.members(room):
                gevent.sleep(0.02)
        return phones[-1], channel

    yield enter
    for phone in phones:
        phone.hang_up()


Enter = Callable[..., tuple[Phone, str]]


# Sound


def test_three_nodes_hear_each_other_at_one_level_and_nobody_hears_himself(
    nodes: list[Node], room: str, enter: Enter, tmp_path: Path
) -> None:
    source, second, third = nodes
    near, _ = enter(source, room)
    join(second, source, room)
    join(third, source, room)
    speaker, channel = enter(second, room, TONE)
    far, _ = enter(third, room)
    for listener in (near, far):
        listener.wait_level(TONE, above=SENT - TOLERANCE, below=SENT + TOLERANCE)
    assert speaker.level(TONE, 1.0) < INAUDIBLE
    file = tmp_path / "tone.wav"
    with wave.open(str(file), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        samples = decoded(coded_tone(PLAYED, SENT)) * 10
        sound.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    source.api(f"conference {room} play {file}")
    for listener in (near, far, speaker):
        listener.wait_level(PLAYED, above=SENT - TOLERANCE, below=SENT + TOLERANCE)
    # Who is muted where he sits is heard nowhere.
    (found,) = json.loads(second.api(JsonList(room)))
    (member,) = [one["id"] for one in found["members"] if one["uuid"] == channel]
    second.api(MemberCommand(room, member, "mute"))
    for listener in (near, far):
        listener.wait_level(TONE, below=INAUDIBLE)


def test_a_leg_lasts_though_nobody_speaks(nodes: list[Node], room: str) -> None:
    source, second, _ = nodes
    leg = join(second, source, room)
    gevent.sleep(MEDIA_TIMEOUT / 1000 + 1)
    assert source.members(room) == second.members(room) == {leg}
    assert {row["read_codec"] for row in second.channels() if row["uuid"] == leg} == {"L16"}
    assert all(row["name"].startswith(LEG_NAME) for node in (source, second) for row in node.channels())
    second.api(Hangup(leg))
    source.wait_members(room, set())


# Who gets in


def test_a_leg_needs_an_announcement_of_its_own(nodes: list[Node], room: str) -> None:
    source, second, _ = nodes
    withdrawn, malformed = str(uuid.uuid4()), str(uuid.uuid4())
    source.api(AnnounceLeg(withdrawn, room, "default"))
    source.api(WithdrawLeg(withdrawn))
    source.api(f"global_setvar switchroom_leg_{malformed}={room}@default+flags{{moderator}}")
    for leg in (str(uuid.uuid4()), withdrawn, malformed):
        assert dial(second, source, room, leg) == "-ERR NO_ROUTE_DESTINATION\n"
    leg = join(second, source, room)
    assert dial(second, source, room, leg) == "-ERR DESTINATION_OUT_OF_ORDER\n"
    assert source.members(room) == {leg}, "it is as it was"
    second.api(Hangup(leg))
    source.wait_members(room, set())
    assert dial(second, source, room, leg) == "-ERR NO_ROUTE_DESTINATION\n", "an announcement serves once"


def invited(node: Node, host: str, call_id: str, user: str = "room", headers: str = "") -> int:
    """The status of what the node's bridge profile answers to an INVITE from an address."""
    target, _, port = node.freeswitch.bridge.partition(":")
    with socket.socket() as connection:
        connection.bind((host, 0))
        connection.settimeout(5)
        connection.connect((target, int(port)))
        me = f"{host}:{connection.getsockname()[1]}"
        body = f"v=0\r\no=x 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
        connection.sendall(
            f"INVITE sip:{user}@{target}:{port} SIP/2.0\r\nVia: SIP/2.0/TCP {me};branch=z9hG4bK{uuid.uuid4().hex}\r\n"
            f"From: <sip:{user}@{me}>;tag={uuid.uuid4().hex}\r\nTo: <sip:{user}@{target}:{port}>\r\nCall-ID: {call_id}\r\n"
            f"CSeq: 1 INVITE\r\nContact: <sip:x@{me};transport=tcp>\r\nMax-Forwards: 70\r\n{headers}"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        said = ""
        while not (final := re.search(r"SIP/2\.0 ([2-6]\d\d)", said)):
            said += connection.recv(65535).decode()
        return int(final[1])


def test_a_leg_comes_from_a_node_by_tcp(nodes: list[Node], room: str) -> None:
    source = nodes[0]
    for host, status in (("127.0.0.9", 403), (HOSTS[1], 200)):
        leg = str(uuid.uuid4())
        source.api(AnnounceLeg(leg, room, "default"))
        assert invited(source, host, leg) == status
    source.wait_members(room, {leg})
    source.api(Hangup(leg))
    host, _, port = source.freeswitch.bridge.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, int(port)))
        probe.send(b"?")
        with pytest.raises(ConnectionRefusedError):
            probe.recv(1)


def test_nothing_that_a_leg_brings_is_evaluated(nodes: list[Node], room: str) -> None:
    source = nodes[0]
    brought = f"X-Found: {HOSTILE}\r\nSubject: {HOSTILE}\r\nCall-Info: <{HOSTILE}>\r\n"
    for call_id in (HOSTILE, f"{uuid.uuid4()}{HOSTILE}", HOSTILE[1:], str(uuid.uuid4()).upper()):
        assert invited(source, HOSTS[1], call_id, HOSTILE, brought) == 404
    leg = str(uuid.uuid4())
    announces = f"switchroom_leg_{leg}: {room}@default\r\nX-switchroom_leg_{leg}: {room}@default\r\n"
    assert invited(source, HOSTS[1], leg, HOSTILE, announces) == 404
    source.api(AnnounceLeg(leg, room, "default"))
    assert invited(source, HOSTS[1], leg, HOSTILE, brought) == 200
    source.wait_members(room, {leg})
    source.api(Hangup(leg))
    source.wait_members(room, set())
    assert source.api("global_getvar found").startswith("-ERR")


def test_a_caller_who_dials_a_room_is_parked(nodes: list[Node], room: str) -> None:
    source, second, _ = nodes
    leg = join(second, source, room)
    phone = Phone(source.freeswitch.sip, room, "527100001")
    with gevent.Timeout(5):
        while not [row for row in source.channels() if row["application"] == "park"]:
            gevent.sleep(0.02)
    assert source.members(room) == {leg}
    phone.hang_up()
    second.api(Kick(room, "all"))
    source.wait_members(room, set())


# How it ends


@pytest.mark.parametrize("lost", ["source", "second"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_node_that_is_gone_is_noticed_and_its_leg_goes(
    nodes: list[Node], room: str, enter: Enter, how: signal.Signals, lost: str
) -> None:
    source, second = (nodes[2], nodes[0]) if lost == "source" else (nodes[0], nodes[2])
    gone, left = (source, second) if lost == "source" else (second, source)
    join(second, source, room)
    _, channel = enter(left, room)
    since = time.monotonic()
    try:
        gone.freeswitch.signal(how)
        left.wait_members(room, {channel}, NOTICED)
        print(f"{how.name} of the {lost} node: noticed after {time.monotonic() - since:.2f} s")
        if how == signal.SIGKILL:
            assert dial(left, gone, room, str(uuid.uuid4())) == "-ERR NORMAL_TEMPORARY_FAILURE\n"
        else:
            assert dial(left, gone, room, str(uuid.uuid4())) == "-ERR NO_ANSWER\n"
            gone.freeswitch.signal(signal.SIGCONT)
            # What it was told meanwhile, it does now.
            gone.wait_members(room, set())
    finally:
        if how == signal.SIGKILL:
            gone.freeswitch.start()
            gone.connect()
        else:
            gone.freeswitch.signal(signal.SIGCONT)
