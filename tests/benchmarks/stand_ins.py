"""What stands in for the others in benchmarks, at little cost: a node's Event Socket, and an endpoint of webhooks."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

FRAME = "Content-Length: {}\nContent-Type: text/event-plain\n\n{}"
_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def commands(sock: socket.socket, answer: Callable[[str], str]) -> Iterator[str]:
    """As a node, take all that comes on a link. Yields each command once it is accepted; `answer` is asked for what is
    printed by `api`. Ends with the link.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(OSError):
        sock.sendall(b"Content-Type: auth/request\n\n")
        for line in sock.makefile("rb"):
            command = line.decode().strip()
            if command.startswith("api "):
                text = answer(command.removeprefix("api ")).encode()
                sock.sendall(b"Content-Type: api/response\nContent-Length: %d\n\n%b" % (len(text), text))
            elif command.startswith("Job-UUID: "):  # of a ping, whose reply is sent
                result = f"Event-Name: BACKGROUND_JOB\n{command}\n\n"
                sock.sendall(FRAME.format(len(result), result).encode())
            elif command and not re.match(r"[A-Za-z-]+: ", command):
                sock.sendall(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
                yield command


def posts(sock: socket.socket) -> Iterator[bytes]:
    """As an endpoint, take the webhooks that come on a connection. Yields each, head and body, before it is answered
    with 200.
    """
    buffer = b""
    with sock, suppress(OSError):
        while data := sock.recv(65536):
            buffer += data
            end = buffer.find(b"\r\n\r\n") + 4
            if end < 4:
                continue
            start = buffer.lower().index(b"content-length:") + 15
            if len(buffer) >= end + int(buffer[start:].split(b"\r\n", 1)[0]):
                yield buffer
                buffer = b""
                sock.sendall(_TAKEN)
