"""The wire between Switchroom and a node's Event Socket, which can be cut and mended."""

from __future__ import annotations

import gevent
from gevent import socket
from gevent.server import StreamServer

from tests.e2e.nodes import Node


class Wire:
    """Passes everything both ways. Stands in for the node where its Event Socket is meant."""

    def __init__(self, node: Node) -> None:
        self.password, self.sip = node.password, node.sip
        host, _, port = node.esl.rpartition(":")
        self._node = (host, int(port))
        self._ends: set[socket.socket] = set()
        self._listen(0)
        self.esl = f"127.0.0.1:{self._server.server_port}"

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._server.stop()
        for end in list(self._ends):
            end.close()

    def mend(self) -> None:
        self._listen(self._server.server_port)

    def _listen(self, port: int) -> None:
        self._server = StreamServer(("127.0.0.1", port), self._join)
        self._server.start()

    def _join(self, near: socket.socket, _address: object) -> None:
        try:
            far = socket.create_connection(self._node, 5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        ends = {near, far}
        self._ends |= ends
        passing = [gevent.spawn(_pass, near, far), gevent.spawn(_pass, far, near)]
        gevent.joinall(passing, count=1)
        for end in ends:
            end.close()
        gevent.killall(passing)
        self._ends -= ends


def _pass(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
