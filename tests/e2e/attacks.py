"""What hostile tenants do to those who fetch their files. test_relay.py runs this in a network of its own (`INSIDE`).

Each attack is run twice: with `direct`, where the node fetches, it succeeds; through the relay it does not.

In that network TENANT's address counts as public, and is not one of this machine's own. INTERNAL's is private.
"""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from gevent.server import DatagramServer

from tests.e2e.file_server import FileServer, endless, file, redirect
from tests.e2e.nodes import BootedNode, Node
from tests.e2e.relayed import UP_SECONDS, Relayed
from tests.e2e.system import tone_wav

TENANT, INTERNAL = "93.184.216.34", "10.0.0.5"
NAME = "files.example.com"
CACHE = "32m"  # of the node; systemd/switchroom-node.service gives it 512 MB

both_ways = pytest.mark.parametrize("direct", [True, False], ids=["direct", "relay"])
real = pytest.mark.freeswitch

Open = Callable[..., Relayed]


@pytest.fixture
def opened(tmp_path: Path, own_node: Node) -> Iterator[Open]:
    systems: list[Relayed] = []

    def start(**playback: bool | int) -> Relayed:
        system = Relayed(tmp_path, own_node, **playback)
        systems.append(system)
        system.start()
        system.api.wait_up(timeout=UP_SECONDS)
        return system

    yield start
    for system in systems:
        system.close()


@pytest.fixture
def servers() -> Iterator[tuple[FileServer, FileServer]]:
    """The tenant's, and an internal one with the same port."""
    tenant = FileServer(TENANT)
    internal = FileServer(INTERNAL, tenant.port)
    yield tenant, internal
    tenant.close()
    internal.close()


# To internal addresses


@both_ways
def test_a_redirect_to_an_internal_address(opened: Open, servers: tuple[FileServer, FileServer], direct: bool) -> None:
    tenant, internal = servers
    url = tenant.serve("/a.wav", redirect(internal.serve("/secret.wav", file(tone_wav(0.2)))))
    system = opened(direct=direct, allow_private_networks=False)
    (result,) = system.played(system.room(), url)
    assert tenant.count("/a.wav") == 1
    if direct:
        assert (result["status"], internal.count("/secret.wav")) == ("played", 1)
    else:
        assert result == {"url": url, "status": "failed", "reason": "forbidden_address"}
        assert internal.targets == []


class Rebinding:
    """A name server. NAME is at `first` when it is asked for the first time, and at `then` from there on."""

    def __init__(self, first: str, then: str) -> None:
        self._addresses = [first]
        self._then = then
        self._server = DatagramServer(("127.0.0.1", 53), self._answer)
        self._server.start()

    def close(self) -> None:
        self._server.stop()

    def _answer(self, query: bytes, peer: object) -> None:
        question = query[12 : query.index(b"\0", 12) + 5]
        answer = b""
        if question.endswith(struct.pack("!HH", 1, 1)):
            address = self._addresses.pop() if self._addresses else self._then
            answer = struct.pack("!HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address)
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, bool(answer), 0, 0)
        self._server.sendto(head + question + answer, peer)


@both_ways
def test_a_name_that_leads_elsewhere_once_it_was_checked(
    opened: Open, servers: tuple[FileServer, FileServer], direct: bool
) -> None:
    """The node looks it up anew; the relay connects to what it has checked."""
    tenant, internal = servers
    names = Rebinding(TENANT, INTERNAL)
    try:
        urls = [f"http://{NAME}:{tenant.port}/{name}.wav" for name in "ab"]
        for server in servers:
            server.serve("/a.wav", file(tone_wav(0.2)))
            server.serve("/b.wav", file(tone_wav(0.2)))
        system = opened(direct=direct, allow_private_networks=False)
        first, second = system.played(system.room(), *urls)
    finally:
        names.close()
    if direct:
        assert internal.targets == ["/a.wav", "/b.wav"]
    else:
        assert first == {"url": urls[0], "status": "played"}
        assert second == {"url": urls[1], "status": "failed", "reason": "forbidden_address"}
        assert (tenant.targets, internal.targets) == (["/a.wav"], [])


# A file that ends FreeSWITCH


def claiming(channels: int) -> bytes:
    """A WAV whose header says so."""
    wav = bytearray(tone_wav(0.2, channels=256))
    struct.pack_into("<H", wav, 22, channels)
    return bytes(wav)


def test_a_file_of_too_many_channels(opened: Open) -> None:
    system = opened()
    lie = system.files.serve("/lie.wav", file(claiming(60000)))
    truth = system.files.serve("/truth.wav", file(claiming(256)))
    good = system.files.serve("/good.wav", file(tone_wav(0.2)))
    assert system.played(system.room(), lie, truth, good) == [
        {"url": lie, "status": "failed", "reason": "not_audio"},
        {"url": truth, "status": "played"},
        {"url": good, "status": "played"},
    ]
    if isinstance(system.node, BootedNode):
        assert system.node.freeswitch.runs


@real
@pytest.mark.parametrize("channels", [256, 1024])
def test_a_file_of_too_many_channels_ends_a_node_that_fetches_it(opened: Open, channels: int) -> None:
    system = opened(direct=True)
    system.play(system.room(), system.files.serve("/channels.wav", file(claiming(channels))))
    assert isinstance(system.node, BootedNode)
    try:
        with gevent.Timeout(10, AssertionError("the node lives")):
            while system.node.freeswitch.runs:
                gevent.sleep(0.05)
    finally:
        system.node.crash()


# A file without an end


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("bytes_per_second", "reason"), [(1 << 20, "too_large"), (1 << 15, "timeout")], ids=["fast", "slow"]
)
def test_an_endless_file_holds_up_nobody(opened: Open, bytes_per_second: int, reason: str) -> None:
    system = opened(max_file_mb=3, fetch_seconds=6)
    url = system.files.serve("/endless.wav", endless(tone_wav(0.2), bytes_per_second))
    good = system.files.serve("/good.wav", file(tone_wav(0.2)))
    alphas, betas = system.room(), system.room("beta")
    operation = system.play(alphas, url)
    system.files.wait_asked("/endless.wav")
    assert system.played(betas, good, app="beta") == [{"url": good, "status": "played"}]
    assert system.ends(operation) == []
    assert system.finished(operation)["results"] == [{"url": url, "status": "failed", "reason": reason}]
    other = system.files.url("/good.wav?again")
    assert system.played(betas, other, app="beta") == [{"url": other, "status": "played"}]
    assert system.played(alphas, good) == [{"url": good, "status": "played"}]


@real
@pytest.mark.timeout(90)
def test_an_endless_file_fills_the_cache_of_a_node_that_fetches_it(opened: Open) -> None:
    system = opened(direct=True)
    assert isinstance(system.node, BootedNode)
    cache = system.node.freeswitch.folder / "cache" / "http"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={CACHE}", "none", cache], check=True)
    try:
        url = system.files.serve("/endless.wav", endless(tone_wav(0.2), 1 << 30))
        good = system.files.serve("/good.wav", file(tone_wav(0.2)))
        alphas, betas = system.room(), system.room("beta")
        (result,) = system.played(alphas, url)
        assert result["status"] == "failed"
        for _ in range(3):
            (result,) = system.played(betas, good, app="beta")
            assert result["status"] == "failed"
    finally:
        subprocess.run(["umount", "--lazy", cache], check=True)
