"""What a server answers is read as it comes, and a connection that it closed is not used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import gevent
import pytest
import redis
from gevent import socket
from gevent.event import Event as Flag
from gevent.server import StreamServer
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from controller.store.connections import Connections

ASKED = ("FCALL", "step_1", 1, "{p00}", b"\xff\x00")
PACKED = b"*5\r\n$5\r\nFCALL\r\n$6\r\nstep_1\r\n$1\r\n1\r\n$5\r\n{p00}\r\n$2\r\n\xff\x00\r\n"

Handle = Callable[[socket.socket], None]


@pytest.fixture
def serve() -> Iterator[Callable[..., Connections]]:
    """Connections to a server whose connections are each in the hands of a function."""
    open_: list[Any] = []

    def start(handle: Handle, *, limit: int = 8) -> Connections:
        server = StreamServer(("127.0.0.1", 0), lambda sock, _address: handle(sock))
        server.start()
        options: dict[str, Any] = {"driver_info": None, "socket_timeout": 5, "protocol": 2}
        pool = redis.ConnectionPool(host="127.0.0.1", port=server.server_port, **options)
        connections = Connections(pool, limit)
        open_.extend((connections, server))
        return connections

    yield start
    for each in open_:
        each.close()


def answers(*parts: bytes) -> Handle:
    """One part after the other, each time that a command has come."""

    def handle(sock: socket.socket) -> None:
        while sock.recv(65536):
            for part in parts:
                sock.sendall(part)
                gevent.sleep(0)

    return handle


def test_replies_are_read_wherever_they_are_cut(serve: Callable[..., Connections]) -> None:
    text = b"$-1\r\n*-1\r\n:-7\r\n+OK\r\n$4\r\n\r\n\r\n\r\n*2\r\n$0\r\n\r\n*1\r\n:1\r\n-ERR no\r\n"
    for size in (1, 2, 7, len(text)):
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        *found, error = serve(answers(*parts)).ask([ASKED] * 7)
        assert found == [None, None, -7, b"OK", b"\r\n\r\n", [b"", [1]]]
        assert isinstance(error, ResponseError)


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        (b"OOM too full", OutOfMemoryError, "too full"),
        (b"NOSCRIPT none", NoScriptError, "none"),
        (b"ERR user_function:7: it fails", ResponseError, "user_function:7: it fails"),
        (b"READONLY a replica", ResponseError, "READONLY a replica"),
        (b"ERR \xff", ResponseError, "\ufffd"),
    ],
)
def test_errors_are_told_apart(
    serve: Callable[..., Connections], line: bytes, kind: type[Exception], text: str
) -> None:
    (found,) = serve(answers(b"-" + line + b"\r\n")).ask([ASKED])
    assert (type(found), str(found)) == (kind, text)


def test_a_long_reply_is_read_whole(serve: Callable[..., Connections]) -> None:
    body = bytes(range(256)) * 2000
    assert serve(answers(b"$%d\r\n%b\r\n" % (len(body), body))).ask([ASKED]) == [body]


def test_what_is_no_reply_ends_the_connection(serve: Callable[..., Connections]) -> None:
    replies = iter((b"HTTP/1.1 400 Bad Request\r\n", b"+OK\r\n"))
    connections = serve(lambda sock: sock.sendall(sock.recv(65536) and next(replies)))
    with pytest.raises(redis.ConnectionError):
        connections.ask([ASKED])
    assert connections.ask([ASKED]) == [b"OK"]


def test_a_long_command_is_sent_whole(serve: Callable[..., Connections]) -> None:
    asked, packed = (b"x" * 5_000_000,), b"*1\r\n$5000000\r\n%b\r\n" % (b"x" * 5_000_000)
    come = bytearray()

    def handle(sock: socket.socket) -> None:
        while len(come) < len(packed):
            come.extend(sock.recv(65536))
        sock.sendall(b"+OK\r\n")

    assert serve(handle).ask([asked]) == [b"OK"]
    assert come == packed


def test_a_connection_that_was_closed_while_it_was_idle_is_not_used(serve: Callable[..., Connections]) -> None:
    ended = []

    def handle(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"+OK\r\n")
        sock.close()
        ended.append(sock)

    connections = serve(handle)
    for count in (1, 2, 3):
        assert connections.ask([ASKED]) == [b"OK"]
        assert len(ended) == count


def test_what_was_sent_is_not_sent_again(serve: Callable[..., Connections]) -> None:
    come = []

    def handle(sock: socket.socket) -> None:
        come.append(sock.recv(65536))
        sock.close()

    connections = serve(handle)
    with pytest.raises((redis.ConnectionError, OSError)):
        connections.ask([ASKED])
    assert come == [PACKED]


def test_a_reply_that_was_not_waited_for_is_not_that_of_another_command(serve: Callable[..., Connections]) -> None:
    came, may_answer = Flag(), Flag()
    replies = iter((b"+late\r\n", b"+next\r\n"))

    def handle(sock: socket.socket) -> None:
        while sock.recv(65536):
            reply = next(replies)
            came.set()
            may_answer.wait()
            sock.sendall(reply)

    connections = serve(handle)
    given_up = gevent.spawn(connections.ask, [ASKED])
    came.wait()
    given_up.kill()
    may_answer.set()
    assert connections.ask([ASKED]) == [b"next"]


def test_as_many_connections_as_are_allowed_are_opened(serve: Callable[..., Connections]) -> None:
    opened = []

    def handle(sock: socket.socket) -> None:
        opened.append(sock)
        while sock.recv(65536):
            gevent.sleep(0)
            sock.sendall(b"+OK\r\n")

    connections = serve(handle, limit=2)
    asked = [gevent.spawn(connections.ask, [ASKED]) for _ in range(9)]
    gevent.joinall(asked, raise_error=True)
    assert len(opened) == 2


def test_all_connections_are_closed(serve: Callable[..., Connections]) -> None:
    closed = Flag()

    def handle(sock: socket.socket) -> None:
        while sock.recv(65536):
            sock.sendall(b"+OK\r\n")
        closed.set()

    connections = serve(handle)
    connections.ask([ASKED])
    connections.close()
    assert closed.wait(30)


def test_after_it_is_closed_none_of_the_old_connections_is_used(serve: Callable[..., Connections]) -> None:
    connections = serve(answers(b"+OK\r\n"))
    connections.ask([ASKED])
    connections.close()
    # Another file has its number: what is asked of that would look well.
    pair = socket.socketpair()
    assert connections.ask([ASKED]) == [b"OK"]
    for each in pair:
        each.close()


def test_one_that_was_closed_while_it_was_used_is_not_kept(serve: Callable[..., Connections]) -> None:
    came, may_answer = Flag(), Flag()

    def handle(sock: socket.socket) -> None:
        while sock.recv(65536):
            came.set()
            may_answer.wait()
            with suppress(OSError):
                sock.sendall(b"+OK\r\n")

    connections = serve(handle)
    asked = gevent.spawn(connections.ask, [ASKED])
    came.wait()
    assert connections.are_used
    connections.close()
    may_answer.set()
    asked.join()
    assert not connections.are_used
    assert connections.ask([ASKED]) == [b"OK"]
