"""Requests a second of one process with all roles, over kept connections: `/healthz`, GET of a room, POST of a new one.

    python -m tests.benchmarks.bench_api [--seconds 5] [--connections 16]

`/healthz` asks nothing of the store, so it shows what HTTP alone costs. The callers are a process of their own. A room
that is made emits a webhook, which is delivered meanwhile.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import gevent
from gevent import socket

from tests.benchmarks.bench_command import PASSWORD, Endpoint, Node, start_emulator
from tests.benchmarks.bench_streams import cpu_seconds
from tests.benchmarks.figures import note
from tests.e2e.system import KEYS, PREFIX, Switchroom

ROOM = "/api/v1/conferences"
WARM_UP_SECONDS = 1.0


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nX-App-ID: alpha\r\nX-API-Key: {KEYS['alpha']}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def ask(sock: socket.socket, text: bytes) -> bytes:
    """One request -> the status of its response."""
    sock.sendall(text)
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    while len(body) < length:
        body += sock.recv(65536)
    return head[9:12]


def call(port: int, make: Callable[[], bytes], status: bytes, connections: int, seconds: float) -> list[float]:
    """Asks for so long over so many connections -> seconds that each request took."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    def go_on() -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (begun := time.perf_counter()) < until:
                found = ask(sock, make())
                assert found == status, found
                took.append(time.perf_counter() - begun)

    gevent.joinall([gevent.spawn(go_on) for _ in range(connections)], raise_error=True)
    return took


def raise_quota(config: Path) -> None:
    """Let alpha have more rooms than any app usually needs."""
    config.write_text(config.read_text().replace('id = "alpha"', 'id = "alpha"\nquotas = { rooms = 1000000 }'))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        endpoint = Endpoint()
        node = Node(f"127.0.0.1:{start_emulator(stack)}", PASSWORD)
        switchroom = Switchroom(folder, {PREFIX: node}, endpoint.url, requests_per_second=100_000)
        raise_quota(switchroom.config)
        switchroom.start()
        stack.callback(switchroom.close)
        switchroom.wait_up()
        room = switchroom.post(ROOM, {"name": "bench"}).body["room_id"]
        names = itertools.count()
        kinds: dict[str, tuple[Callable[[], bytes], bytes]] = {
            "GET /healthz": (lambda: request("GET", "/healthz"), b"200"),
            "GET a room": (lambda: request("GET", f"{ROOM}/{room}"), b"200"),
            "POST a room": (lambda: request("POST", ROOM, json.dumps({"name": f"n{next(names)}"}).encode()), b"201"),
        }
        rates: dict[str, float] = {}
        for title, (make, status) in kinds.items():
            call(switchroom.port, make, status, options.connections, WARM_UP_SECONDS)
            used = cpu_seconds(switchroom.pid)
            took = sorted(call(switchroom.port, make, status, options.connections, options.seconds))
            cpu = (cpu_seconds(switchroom.pid) - used) / len(took) * 1e6
            rates[title] = len(took) / options.seconds
            p50, p99 = (1000 * took[len(took) * percentile // 100] for percentile in (50, 99))
            print(
                f"{title:14} {rates[title]:8,.0f} a second, p50 {p50:6.2f} ms, p99 {p99:6.2f} ms, {cpu:5.0f} us of CPU",
                flush=True,
            )
            note(f"{title}, CPU of the process", cpu, "us")
            note(f"{title}, p99 of {options.connections} connections", p99, "ms")
        for title, rate in rates.items():
            beside = 0.0 if title == "GET /healthz" else rates["GET /healthz"]
            note(f"{title}, a second", rate, "", beside=beside, more_is_better=True)


if __name__ == "__main__":
    main()
