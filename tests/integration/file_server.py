"""A server of files whose responses a test chooses, down to the byte."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

import gevent
from gevent.event import Event as Flag
from gevent.server import StreamServer

Response = bytes | Callable[[socket.socket], None]


def response(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole response. `headers`: besides Content-Length, or in its place."""
    lines = [f"{name}: {value}" for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Status", *lines, "", ""]).encode("latin-1") + body


def redirect(location: str, status: int = 302) -> bytes:
    return response(status, headers={"Location": location})


class FileServer:
    """Responds to each request with `responses[path]`, or else with `default`, and closes the connection."""

    def __init__(self, **tls: str) -> None:
        self.requests: list[bytes] = []
        self.responses: dict[str, Response] = {}
        self.default: Response = response(body=b"sound")
        self.connections = 0
        self.closed_by_client = Flag()
        self._server = StreamServer(("127.0.0.1", 0), self._serve, **tls)
        self._server.start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [request.split(b" ")[1].decode() for request in self.requests]

    def headers(self, number: int = -1) -> dict[str, str]:
        """Of a request, by their names in lower case."""
        lines = self.requests[number].decode("latin-1").split("\r\n")[1:-2]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def stop(self) -> None:
        self._server.stop(timeout=0)

    # Responses that take their time

    def hang(self, sock: socket.socket) -> None:
        """Nothing, until the client gives up."""
        with suppress(OSError):
            if not sock.recv(1):
                self.closed_by_client.set()

    def after(self, start: bytes, then: Callable[[socket.socket], None] | None = None) -> Response:
        def send(sock: socket.socket) -> None:
            sock.sendall(start)
            (then or self.hang)(sock)

        return send

    def endless(self, data: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
        """The data again and again, until the client gives up."""

        def send(sock: socket.socket) -> None:
            with suppress(OSError):
                while True:
                    sock.sendall(data)
                    gevent.sleep(pause)
            self.closed_by_client.set()

        return send

    def _serve(self, sock: socket.socket, address: object) -> None:
        self.connections += 1
        request = b""
        while b"\r\n\r\n" not in request:
            data = sock.recv(65536)
            if not data:
                return
            request += data
        self.requests.append(request)
        answer = self.responses.get(self.paths[-1], self.default)
        with suppress(OSError):
            if isinstance(answer, bytes):
                sock.sendall(answer)
            else:
                answer(sock)
        sock.close()
