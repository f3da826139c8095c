"""A tenant's file server that does what servers do, and what hostile ones do. It sees requests byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
from gevent.event import Event as Flag
from gevent.server import StreamServer

CHUNK = 16384

Response = Callable[[Any], None]
"""Writes a response to a socket, which is closed behind it."""


class FileServer:
    """Whatever is not `served` gets the response that `otherwise` gives for its target. `targets`: what was asked for, in
    its order; `heads`: of the requests.
    """

    def __init__(
        self, address: str = "127.0.0.1", port: int = 0, otherwise: Callable[[str], Response] | None = None
    ) -> None:
        self.heads: list[str] = []
        self._responses: dict[str, Response] = {}
        self._otherwise = otherwise or (lambda _: status(404))
        self._arrived = Flag()
        self._server = StreamServer((address, port), self._take)
        self._server.start()
        self.port = int(self._server.server_port or 0)
        self.authority = f"{address}:{self.port}"

    @property
    def targets(self) -> list[str]:
        return [_target(request) for request in self.heads]

    def url(self, target: str) -> str:
        return f"http://{self.authority}{target}"

    def serve(self, path: str, response: Response) -> str:
        """Answer what asks for that path with any query. -> its URL."""
        self._responses[path] = response
        return self.url(path)

    def count(self, path: str) -> int:
        return sum(target.partition("?")[0] == path for target in self.targets)

    def wait_asked(self, path: str, times: int = 1, timeout: float = 30.0) -> None:
        """Raises AssertionError."""
        with gevent.Timeout(timeout, AssertionError(f"{path} asked for {self.count(path)} times, not {times}")):
            while self.count(path) < times:
                self._arrived.clear()
                self._arrived.wait()

    def close(self) -> None:
        self._server.stop(timeout=1)

    def _take(self, sock: Any, _peer: object) -> None:
        request = b""
        with suppress(OSError):
            while b"\r\n\r\n" not in request:
                data = sock.recv(4096)
                if not data:
                    return
                request += data
            self.heads.append(request.decode("latin-1"))
            self._arrived.set()
            target = _target(self.heads[-1])
            response = self._responses.get(target.partition("?")[0]) or self._otherwise(target)
            response(sock)


def _target(request: str) -> str:
    return request.split(" ")[1]


def head(code: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code} X", "Connection: close", *headers, "", ""]).encode()


def status(code: int, *headers: str, body: bytes = b"") -> Response:
    data = head(code, f"Content-Length: {len(body)}", *headers) + body

    def respond(sock: Any) -> None:
        sock.sendall(data)

    return respond


def file(data: bytes, *headers: str, kind: str = "audio/wav") -> Response:
    return status(200, f"Content-Type: {kind}", *headers, body=data)


def redirect(location: str) -> Response:
    return status(302, f"Location: {location}")


def held(flag: Flag, response: Response) -> Response:
    """What the server does not send before the flag is set."""

    def respond(sock: Any) -> None:
        flag.wait()
        response(sock)

    return respond


def in_turn(*responses: Response) -> Response:
    """One for each request; the last one for all that follow."""
    left = list(responses)

    def respond(sock: Any) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(sock)

    return respond


def endless(start: bytes, bytes_per_second: int) -> Response:
    """A file that begins so, and goes on with zeros as long as somebody reads it."""

    def respond(sock: Any) -> None:
        sock.sendall(head(200, "Content-Type: audio/wav") + start)
        while True:
            sock.sendall(bytes(CHUNK))
            gevent.sleep(CHUNK / bytes_per_second)

    return respond
