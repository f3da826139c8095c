"""The wire between Switchroom and a node's Event Socket, which can be cut and mended."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent import socket
from gevent.event import Event as Flag
from gevent.server import StreamServer

from tests.e2e.nodes import Node


class Wire:
    """Passes everything both ways. Stands in for the node where its Event Socket is meant."""

    def __init__(self, node: Node) -> None:
        self.password, self.sip = node.password, node.sip
        self.hold_music = ""  # that the configuration names
        host, _, port = node.esl.rpartition(":")
        self._node = (host, int(port))
        self._ends: set[socket.socket] = set()
        # What is sent to the node, and what it gets in its place.
        self.replaced = (b"", b"")
        self._holds = False
        self._held: dict[socket.socket, bytes] = {}  # by where it goes
        self._arrived = Flag()
        self._listen(0)
        self.esl = f"127.0.0.1:{self._server.server_port}"

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._server.stop()
        for end in list(self._ends):
            end.close()

    def mend(self) -> None:
        self._listen(self._server.server_port)

    def hold(self) -> None:
        """Keep what is sent to the node, until `release`."""
        self._holds = True

    def wait_held(self, text: bytes, timeout: float = 30.0) -> None:
        """Until that text is among what is kept. Raises AssertionError."""
        with gevent.Timeout(timeout, AssertionError(f"nothing with {text!r} was sent")):
            while not any(text in held for held in self._held.values()):
                self._arrived.clear()
                self._arrived.wait()

    def release(self) -> None:
        self._holds = False
        while self._held:
            far, held = self._held.popitem()
            far.sendall(held)

    def _listen(self, port: int) -> None:
        self._server = StreamServer(("127.0.0.1", port), self._join)
        self._server.start()

    def _join(self, near: socket.socket, _address: object) -> None:
        try:
            far = socket.create_connection(self._node, 30)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        ends = {near, far}
        self._ends |= ends
        passing = [gevent.spawn(_pass, near, self._node_end(far)), gevent.spawn(_pass, far, near.sendall)]
        gevent.joinall(passing, count=1)
        for end in ends:
            end.close()
        gevent.killall(passing)
        self._ends -= ends

    def _node_end(self, far: socket.socket) -> Callable[[bytes], None]:
        def send(data: bytes) -> None:
            if self.replaced[0]:
                data = data.replace(*self.replaced)
            if self._holds:
                self._held[far] = self._held.get(far, b"") + data
                self._arrived.set()
            else:
                far.sendall(data)

        return send


def _pass(source: socket.socket, send: Callable[[bytes], None]) -> None:
    try:
        while data := source.recv(65536):
            send(data)
    except OSError:
        pass
