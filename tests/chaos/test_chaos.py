"""A short chaos run, the same every time, and the proxy that the faults of links come from."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from gevent.server import StreamServer

from tests.chaos.faults import FAULTS, possible, rounds
from tests.chaos.load import actions
from tests.chaos.proxy import Frames, Proxy
from tests.chaos.run import Run
from tests.chaos.world import seeded

SHORT = [
    "link reset",
    "node restarts",
    "link refused",
    "frame cut",
    "worker killed",
    "store killed",
    "endpoint fails",
    "relay killed",
    "origin endless",
    "rolling restart",
    "leg cut",
    "nodes apart",
    "source killed",
    "source killed briefly",
]
REPLY = b"Content-Type: command/reply\nReply-Text: +OK\n\n"
EVENT = b"Content-Length: 26\nContent-Type: text/event-plain\n\nEvent-Name: CHANNEL_PARK\n\n"
RESULT = b"Content-Length: 34\nContent-Type: text/event-plain\n\nEvent-Name: BACKGROUND_JOB\n\n+OK\nxy"


@pytest.mark.timeout(200)
def test_nothing_is_lost(tmp_path: Path) -> None:
    report = Run(tmp_path, seed=2481, kinds=SHORT, rate=20, recovery=45).go(faults=10, seconds=90)
    assert report.violations == [], "\n".join([*report.violations, *report.excerpts])
    assert {"nodes apart", "leg cut", "source killed"} <= report.kinds.keys()
    assert report.spanning > 0
    assert report.hooks > 50


def test_a_seed_is_a_sequence() -> None:
    for what in (lambda rng: rounds(rng, list(FAULTS)), lambda rng: actions(rng, 1.0)):
        first, again, other = (what(seeded(seed, "x")) for seed in (1, 1, 2))
        drawn = [next(first) for _ in range(50)]
        assert drawn == [next(again) for _ in range(50)]
        assert drawn != [next(other) for _ in range(50)]


def test_every_kind_of_fault_comes_as_often() -> None:
    sequence = rounds(seeded(1, "faults"), list(FAULTS))
    drawn = [fault.kind for _ in range(220) for fault in next(sequence)]
    counts = [drawn.count(kind) for kind in FAULTS]
    assert min(counts) > 10
    assert max(counts) < 3 * min(counts)


def test_what_is_wanted_often_comes_often() -> None:
    often = ["relay killed", "relay frozen", "origin slow", "origin endless"]
    sequence = rounds(seeded(1, "faults"), possible(None, real=False, cluster=False), often)
    drawn = [fault.kind for _ in range(40) for fault in next(sequence)][:100]
    assert min(drawn.count(kind) for kind in often) >= 10
    assert len(set(drawn)) > 15


def test_a_cluster_fails_over_and_a_single_server_does_not() -> None:
    stores = {kind for kind, fault in FAULTS.items() if fault.part == "store" and fault.usual}
    single, cluster = (stores & set(possible(None, real=False, cluster=cluster)) for cluster in (False, True))
    assert cluster == {"store fails over"}
    assert single == stores - cluster
    assert possible(["store killed"], real=False, cluster=True) == []


def test_frames_are_cut_where_they_end() -> None:
    whole = REPLY + EVENT + RESULT + REPLY
    for size in (1, 7, 100, 1000):
        frames = Frames()
        found = [frame for at in range(0, len(whole), size) for frame in frames.feed(whole[at : at + size])]
        assert found == [REPLY, EVENT, RESULT, REPLY]


@pytest.fixture
def node() -> Iterator[StreamServer]:
    """Says an event, a job's result and a reply to whoever says something."""

    def serve(sock: socket.socket, _peer: object) -> None:
        with suppress(OSError):
            while sock.recv(1000):
                sock.sendall(EVENT + RESULT + REPLY)

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def proxy(node: StreamServer) -> Iterator[Proxy]:
    proxy = Proxy(("127.0.0.1", node.server_port))
    yield proxy
    proxy.close()


def _ask(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(proxy.address, timeout=30)
    client.sendall(b"x")
    return client


def _hear(client: socket.socket, size: int) -> bytes:
    heard = b""
    while len(heard) < size and (data := client.recv(1000)):
        heard += data
    return heard


@pytest.mark.parametrize(
    ("losing", "heard"), [("", EVENT + RESULT + REPLY), ("events", RESULT + REPLY), ("all", REPLY)]
)
def test_the_proxy_loses_what_it_shall(proxy: Proxy, losing: str, heard: bytes) -> None:
    proxy.losing = losing
    assert _hear(_ask(proxy), len(heard)) == heard


def test_the_proxy_cuts_a_frame(proxy: Proxy) -> None:
    proxy.cut_next = True
    client = _ask(proxy)
    assert _hear(client, 1000) == EVENT[: len(EVENT) // 2]


def test_the_proxy_swallows(proxy: Proxy) -> None:
    client = _ask(proxy)
    assert _hear(client, len(EVENT + RESULT + REPLY))
    proxy.swallowing = True
    client.settimeout(0.2)
    for silent in (client, _ask(proxy)):
        silent.settimeout(0.2)
        silent.sendall(b"x")
        with pytest.raises(TimeoutError):
            silent.recv(1)
    proxy.heal()
    client.settimeout(30)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert _hear(_ask(proxy), 1)


def test_the_proxy_refuses_and_comes_back(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        _ask(proxy)
    proxy.heal()
    assert _hear(_ask(proxy), 1)
