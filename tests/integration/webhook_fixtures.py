"""A receiver whose responses a test chooses, and outboxes filled the way the scripts fill them."""

from __future__ import annotations

import itertools
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import gevent
import orjson
from gevent.event import Event as Flag
from gevent.server import StreamServer
from standardwebhooks import Webhook as Verifier

from controller.registry import Registry, new_app
from controller.store import keys
from controller.webhooks.dispatcher import Dispatcher
from controller.webhooks.retry import Schedule
from tests.open_store import OpenStore

WEBHOOK_BYTES = 500  # counted of each besides its data: lib/outbox.lua
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

# Of a certificate for `localhost` that nobody trusts but the tests.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQghxSjz0riw/bifHUP
VGLs5XET/LQ80x0DhMkWIxR5Rv+hRANCAAQPoEK7oH1ygqy/GTlLWoHI3fYBSCFM
mS6Zlu1D4IISzpz8dkvg9Lh51LDV/FHTzbX82k/ZmbwHg6wjtzLuDPGT
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBYjCCAQegAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABA+gQrugfXKCrL8Z
OUtagcjd9gFIIUyZLpmW7UPgghLOnPx2S+D0uHnUsNX8UdPNtfzaT9mZvAeDrCO3
Mu4M8ZOjSDBGMBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAPBgNVHRMBAf8EBTADAQH/
MB0GA1UdDgQWBBRVJbY3/jWaHk9n3roQWmmmKRaxlzAKBggqhkjOPQQDAgNJADBG
AiEA9QiAzn8H9mbk79OQskMzECzXCId1+eezJPuNQ/DrQLMCIQD//yVf/hEJWOwJ
y7c3uKIiF6rJKWiFfCIv4D4vsOeAnA==
-----END CERTIFICATE-----
"""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ERROR = b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"

# The real schedule has seven attempts too, and holds the ordering key for the first two retries.
FAST = Schedule(delays=(0.03, 0.06, 0.1, 0.1, 0.1, 0.1))

# Starts a dispatcher: its owner, and options of `Dispatcher`.
Start = Callable[..., Dispatcher]
Response = bytes | Callable[[socket.socket], None]


def hang(sock: socket.socket) -> None:
    """No response until the other side gives up."""
    with suppress(OSError):
        sock.recv(1)


def close(sock: socket.socket) -> None:
    sock.close()


def drip(sock: socket.socket) -> None:
    """A byte of a head without end, often enough to keep any socket timeout from firing."""
    with suppress(OSError):
        for byte in itertools.chain(b"HTTP/1.1 200 OK\r\nX-Drip: ", itertools.repeat(0x61)):
            sock.sendall(bytes((byte,)))
            gevent.sleep(0.005)


def huge(sock: socket.socket) -> None:
    """A body without end."""
    with suppress(OSError):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            sock.sendall(b"x" * 65536)


class Received:
    """One request as it arrived."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.body = body
        self.at = time.monotonic()

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = orjson.loads(self.body)["data"]
        return data

    def verify(self, secret: str = SECRET) -> None:
        Verifier(secret).verify(self.body, self.headers)


class Receiver:
    """An HTTP server that responds with what `choose(request)` returns, else `responses` in turn, then `default`."""

    def __init__(self, **tls: str) -> None:
        self.received: list[Received] = []
        self.responses: deque[Response] = deque()
        self.default: Response = OK
        self.choose: Callable[[Received], Response | None] = lambda request: None
        self.connections = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self._news = Flag()
        self._server = StreamServer(("127.0.0.1", 0), self._serve, **tls)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"

    def stop(self) -> None:
        self._server.stop(timeout=0)

    def wait(self, count: int, timeout: float = 30.0) -> list[Received]:
        """Until `count` requests have arrived."""
        self.wait_until(lambda: len(self.received) >= count, timeout)
        return self.received

    def wait_until(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:
        with gevent.Timeout(timeout, AssertionError(f"after {timeout} s: {len(self.received)} requests")):
            while not condition():
                self._news.wait()
                self._news.clear()

    def ids(self) -> list[str]:
        return [request.id for request in self.received]

    def _serve(self, sock: socket.socket, address: object) -> None:
        self.connections += 1
        stream = sock.makefile("rb")
        with suppress(OSError):
            while line := stream.readline():
                path = line.split()[1].decode()
                headers = {}
                while (header := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                request = Received(path, headers, stream.read(int(headers["content-length"])))
                self.in_flight += 1
                self.max_in_flight = max(self.max_in_flight, self.in_flight)
                self.received.append(request)
                self._news.set()
                response = self.choose(request) or (self.responses.popleft() if self.responses else self.default)
                try:
                    if not isinstance(response, bytes):
                        response(sock)
                        break
                    sock.sendall(response)
                finally:
                    self.in_flight -= 1
        stream.close()


class Outbox:
    """Writes webhooks as the scripts do, and tells what the store knows of them."""

    def __init__(self, store: OpenStore) -> None:
        self.store = store
        self.registry = Registry(store)
        self._sequence = itertools.count(1)

    def app(self, app_id: str, url: str, secret: str = SECRET) -> str:
        self.registry.put_app(new_app(app_id, "key", webhook_url=url, webhook_secret=secret))
        return app_id

    def put(self, app: str, *ordering_keys: str, type_: str = "conference.member.joined", **data: Any) -> list[str]:
        """-> the ids that the webhooks will have."""
        tag = keys.partition_of(app)
        with self.store.client.pipeline(transaction=False) as pipe:
            for ordering_key in ordering_keys:
                fields = {"app_id": app, "room_id": ordering_key, "sequence": next(self._sequence), **data}
                entry = {
                    "app": app,
                    "type": type_,
                    "lane": ordering_key,
                    "at": int(time.time() * 1000),
                    "data": orjson.dumps(fields),
                }
                pipe.xadd(keys.key(tag, "outbox"), entry)
                pipe.hincrby(keys.key(tag, "usage", app), "webhook_bytes", len(orjson.dumps(fields)) + WEBHOOK_BYTES)
            entries = pipe.execute()[::2]
        return [f"msg_{tag.strip('{}')}-{entry.decode()}" for entry in entries]

    def left(self, app: str) -> int:
        """Webhooks of the app's partition that are neither delivered nor set aside."""
        return int(self.store.client.xlen(keys.key(keys.partition_of(app), "outbox")))

    def is_settled(self, app: str) -> bool:
        """None of an app's webhooks is in the outbox or waits for another attempt."""
        tag = keys.partition_of(app)
        entries = self.store.client.xrange(keys.key(tag, "outbox"))
        waiting = any(fields[b"app"] == app.encode() for _, fields in entries)
        return not waiting and not self.store.client.exists(keys.key(tag, "aside", app))

    def knows(self, app: str, webhook: str) -> bool:
        """The store still has the webhook, wherever it is."""
        tag, entry = keys.partition_of(app), webhook.partition("-")[2]
        waiting = self.store.client.xrange(keys.key(tag, "outbox"), entry, entry)
        return bool(waiting or "data" in self.record(webhook))

    def wait_until(self, condition: Callable[[], Any], timeout: float = 30.0) -> None:
        """For what only the store shows."""
        with gevent.Timeout(timeout, AssertionError(f"not within {timeout} s")):
            while not condition():
                gevent.sleep(0.005)

    def log(self, app: str) -> list[dict[str, Any]]:
        entries = self.store.client.xrange(keys.key(keys.partition_of(app), "log"))
        return [line for _, fields in entries if (line := orjson.loads(fields[b"e"]))["kind"] == "delivery"]

    def record(self, webhook: str) -> dict[str, Any]:
        """The record of a webhook that failed; empty when there is none."""
        partition, _, entry = webhook.removeprefix("msg_").partition("-")
        found = self.store.client.hgetall(keys.key(keys.TAGS[int(partition[1:])], "delivery", entry))
        return {name.decode(): value.decode() for name, value in found.items()}


def app_of_partition(number: int, skip: Iterable[str] = ()) -> str:
    """An app id that belongs to a partition."""
    names = (f"app{i}" for i in itertools.count())
    return next(n for n in names if keys.partition_of(n) == keys.TAGS[number] and n not in skip)
