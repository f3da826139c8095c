"""A TCP proxy in front of one node's Event Socket, which can do to a connection what networks and nodes do."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import gevent
from gevent.event import Event as Flag
from gevent.server import StreamServer

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a RST
READ_SIZE = 65536
_LENGTH = re.compile(rb"^Content-Length: (\d+)", re.MULTILINE | re.IGNORECASE)


class Frames:
    """Cuts what a node says into its frames, bytes unchanged."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._data += data
        while (end := self._data.find(b"\n\n")) >= 0:
            found = _LENGTH.search(self._data, 0, end)
            end += 2 + (int(found[1]) if found else 0)
            if len(self._data) < end:
                return
            frame, self._data = self._data[:end], self._data[end:]
            yield frame


def is_event(frame: bytes) -> bool:
    return b"text/event-plain" in frame.partition(b"\n\n")[0]


def is_job_result(frame: bytes) -> bool:
    return is_event(frame) and b"\nEvent-Name: BACKGROUND_JOB\n" in frame


class Proxy:
    """Passes everything on to `target`, but for what is set.

    `swallowing`: nothing gets through in either direction, new connections are taken, none ends (half-open).
    `losing`: events are lost, all of them (`"all"`) or all but the results of jobs (`"events"`).
    `delay`: seconds that every frame takes longer. `cut_next`: the next frame ends in its middle, and so does the
    connection.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.swallowing = False
        self.losing = ""
        self.delay = 0.0
        self.cut_next = False
        self.lost = 0
        self._pairs: dict[tuple[socket.socket, socket.socket], None] = {}
        self._taken: list[socket.socket] = []
        self._listener: StreamServer | None = None
        self._open = Flag()
        self.address = ("127.0.0.1", 0)
        self.start()

    @property
    def connections(self) -> int:
        return len(self._pairs)

    def start(self) -> None:
        """Listen, on the same port as ever."""
        if self._listener is None:
            self._listener = StreamServer(self.address, self._serve)
            self._listener.start()
            self.address = ("127.0.0.1", int(self._listener.server_port or 0))

    def refuse(self) -> None:
        """Do not listen. What is connected stays so."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def reset(self) -> None:
        """Break every connection off."""
        for pair in list(self._pairs):
            _break(*pair)
        for sock in self._taken:
            _break(sock)
        self._taken.clear()

    def heal(self) -> None:
        """Pass everything on again. Connections that were half-open or behind are broken off."""
        broken = self.swallowing
        self.swallowing, self.losing, self.delay, self.cut_next = False, "", 0.0, False
        if broken:
            self.reset()
        self.start()

    def close(self) -> None:
        self.refuse()
        self.reset()

    def _serve(self, client: socket.socket, _peer: object) -> None:
        if self.swallowing:
            self._taken.append(client)
            self._swallow(client)
            return
        try:
            node = socket.create_connection(self.target, timeout=5)
            node.settimeout(None)
        except OSError:
            _break(client)
            return
        pair = (client, node)
        self._pairs[pair] = None
        try:
            ends = [gevent.spawn(self._pass_commands, *pair), gevent.spawn(self._pass_frames, *pair)]
            gevent.joinall(ends, count=1)
            _break(*pair)
            gevent.joinall(ends)
        finally:
            del self._pairs[pair]

    def _swallow(self, sock: socket.socket) -> None:
        with suppress(OSError):
            while sock.recv(READ_SIZE):
                pass

    def _pass_commands(self, client: socket.socket, node: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(READ_SIZE):
                if self.delay:
                    gevent.sleep(self.delay)
                if not self.swallowing:
                    node.sendall(data)

    def _pass_frames(self, client: socket.socket, node: socket.socket) -> None:
        frames = Frames()
        with suppress(OSError):
            while data := node.recv(READ_SIZE):
                if self.delay:
                    gevent.sleep(self.delay)
                for frame in frames.feed(data):
                    if self.swallowing or self._loses(frame):
                        continue
                    if self.cut_next:
                        self.cut_next = False
                        client.sendall(frame[: len(frame) // 2])
                        client.shutdown(socket.SHUT_WR)
                        # The client's own end comes by the other direction.
                        self._swallow(node)
                        return
                    client.sendall(frame)

    def _loses(self, frame: bytes) -> bool:
        lost = bool(self.losing) and is_event(frame) and (self.losing == "all" or not is_job_result(frame))
        self.lost += lost
        return lost


def _break(*socks: socket.socket) -> None:
    for sock in socks:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RD)
        sock.close()
