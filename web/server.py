"""The HTTP server: gevent's, with bounds on everything that a client can make it hold or wait for.

A request reaches the application complete. Its head and body are read here, within one deadline, so that a
client that drips bytes costs a connection for that long and nothing else. An error below the application (a
malformed request line, a deadline that passed) gets a response in the API's envelope and closes the connection.

Requests are read by the letter of RFC 9112, and more strictly where it leaves a choice. A proxy in front that reads one
in another way would disagree on where it ends, and so on whose the next one is (request smuggling).
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import socket
import struct
import sys
import time
import uuid
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import unquote

import gevent
import orjson
import structlog
from gevent import pywsgi
from gevent.lock import BoundedSemaphore
from gevent.pool import Pool

from web import bodies, context, errors, metrics
from web.clients import Proxies, block_of

logger = logging.getLogger(__name__)
access_log = structlog.get_logger("web.access")

# Untyped: gevent's stubs do not agree with what it passes around.
_WSGIHandler: Any = pywsgi.WSGIHandler
_WSGIServer: Any = pywsgi.WSGIServer
_WSGIInput: Any = pywsgi.Input

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
BodyLimit = Callable[[dict[str, Any]], int]
IsStreamed = Callable[[dict[str, Any]], bool]

_TCHAR = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
# The target, which may be a whole URL, ends with the path and the query.
_REQUEST_LINE = re.compile(rf"({_TCHAR}+) ((?:https?://[^/?#@\s]+)?(/[!-\"$-~]*)) (HTTP/1\.[01])\r\n").fullmatch
_FIELD = re.compile(rf"({_TCHAR}+):([^\x00-\x08\x0a-\x1f\x7f]*)\r\n")
_FIELDS = re.compile(f"(?:{_FIELD.pattern})*").fullmatch
_HOST = re.compile(r"(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?").fullmatch
_DIGITS = re.compile("[0-9]{1,18}").fullmatch
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~\x80-\xff]*)?\r\n").fullmatch
_MAX_FIELDS = 100
# The fields that WSGI calls otherwise than the rest.
_ELSEWHERE = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
_LOGGED_PATH = 256  # characters
_STREAM_BUFFER = 64 * 1024  # bytes; Linux takes twice as many
_SO_ATTACH_FILTER = 26  # Linux: asm-generic/socket.h


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clients may take of one server. Times in seconds, sizes in bytes.

    `connections` in all, `per_address` of one client (no bound for trusted proxies). Past either, the one that has
    waited for its client the longest is closed for the new one. If none waits, new ones stay in the kernel's queue of
    `backlog`, and those past their client's share are closed. From nine tenths of `connections` on, each is closed
    after a response.
    `first`: how long a new connection may take to send anything; `last`: the same, from when the server stops.
    `idle`: how long a connection may wait for its next request, and a response for its reader.
    `read`: from a request's first byte to its last.
    `head`: a request's headers.
    `body`: a larger body is read only as far as the application allows, and only `large` of them at a time,
    `large_of_app` of one app: the next waits until one has been answered, within its `read`.
    `streams`: responses without end, in all.
    `linger`, `lingered`: for so many seconds or bytes an unread body is still received, so that the client gets to
    read the response.
    """

    connections: int = 1000
    per_address: int = 250
    backlog: int = 1024
    first: float = 5.0
    last: float = 1.0
    idle: float = 60.0
    read: float = 10.0
    head: int = 32 * 1024
    body: int = bodies.SMALL
    large: int = 16
    large_of_app: int = 4
    streams: int = 500
    linger: float = 2.0
    lingered: int = 1024 * 1024


class Server:
    """Serves a WSGI application. Port 0 picks a free one; `address` says which.

    `name`: what the metrics call it. `body_limit`: how large (bytes) a body above `Bounds.body` may be, by the WSGI
    environment; without it, none may. `streamed`: whether the application reads the body by itself, as it comes, and
    bounds its size and time; it must be of known length.
    """

    def __init__(
        self,
        app: Application,
        host: str,
        port: int,
        *,
        name: str = "api",
        body_limit: BodyLimit | None = None,
        streamed: IsStreamed | None = None,
        bounds: Bounds | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._name = name
        self._server = _Server(
            app,
            (host, port),
            body_limit or (lambda _environ: 0),
            streamed or (lambda _environ: False),
            bounds or Bounds(),
            proxies or Proxies(),
        )

    @property
    def address(self) -> tuple[str, int]:
        address = self._server.address
        return str(address[0]), int(address[1])

    def start(self) -> None:
        """Listen. Raises OSError when the address cannot be used."""
        self._server.start()
        metrics.connections.labels(self._name).set_function(lambda: self._server.open_connections)

    def stop(self, timeout: float = 10.0) -> None:
        """Take no more connections, finish the requests under way, and cut off what is left at `timeout`."""
        self._server.stop(timeout)
        metrics.connections.remove(self._name)


class _Waiting:
    """The connections that wait for their clients: to send a request, or to read a response. Longest first."""

    def __init__(self) -> None:
        self._all: OrderedDict[_Handler, None] = OrderedDict()
        self._by_client: defaultdict[str | None, OrderedDict[_Handler, None]] = defaultdict(OrderedDict)

    def add(self, handler: _Handler) -> None:
        """From now on it waits."""
        self.discard(handler)
        self._all[handler] = self._by_client[handler.client][handler] = None

    def discard(self, handler: _Handler) -> None:
        if handler in self._all:
            del self._all[handler]
            of_client = self._by_client[handler.client]
            del of_client[handler]
            if not of_client:
                del self._by_client[handler.client]

    def cut_off_longest(self, client: str | None = None) -> bool:
        """Cut off the one that waits longest, of one client or of all. Returns whether there was one."""
        waiting = self._all if client is None else self._by_client.get(client)
        handler = next(iter(waiting or ()), None)
        if handler is None:
            return False
        self.discard(handler)
        handler.cut_off()
        return True


class _Server(_WSGIServer):  # type: ignore[misc]
    def __init__(
        self,
        app: Application,
        listener: tuple[str, int],
        body_limit: BodyLimit,
        is_streamed: IsStreamed,
        bounds: Bounds,
        proxies: Proxies,
    ) -> None:
        self.bounds = bounds
        self.proxies = proxies
        self.body_limit = body_limit
        self.is_streamed = is_streamed
        self.large = BoundedSemaphore(bounds.large)
        self.large_of_app = defaultdict[str, BoundedSemaphore](lambda: BoundedSemaphore(bounds.large_of_app))
        self.draining = False
        self.idle: set[_Handler] = set()
        self.waiting = _Waiting()
        # What ends the response without end that a connection is giving.
        self.streams: dict[_Handler, Callable[[], None]] = {}
        self._open: Counter[str] = Counter()
        super().__init__(
            listener,
            app,
            backlog=bounds.backlog,
            spawn=Pool(bounds.connections),
            log=None,
            error_log=logger,
            handler_class=_Handler,
            # Given, so that gevent does not look it up in the DNS.
            environ={"SERVER_NAME": listener[0]},
        )

    @property
    def open_connections(self) -> int:
        return len(self.pool)

    @property
    def keeps_connections(self) -> bool:
        return not self.draining and self.bounds.connections - len(self.pool) > self.bounds.connections // 10

    def client_of(self, address: tuple[Any, ...]) -> str | None:
        """The client whose connections are counted; None for a trusted proxy, whose are not."""
        peer = str(address[0])
        return None if self.proxies.trusts(peer) else block_of(peer)

    def do_handle(self, sock: Any, address: tuple[Any, ...]) -> None:
        client = self.client_of(address)
        if client is not None:
            if self._open[client] >= self.bounds.per_address and not self.waiting.cut_off_longest(client):
                sock.close()
                return
            self._open[client] += 1
        super().do_handle(sock, address)
        if self.full():
            self.waiting.cut_off_longest()

    def do_close(self, sock: Any, address: tuple[Any, ...]) -> None:
        client = self.client_of(address)
        if client is not None:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]
        super().do_close(sock, address)

    def stop(self, timeout: float | None = None) -> None:
        self.draining = True
        # Connections that the kernel has accepted already would be reset with the listener, also those that come
        # between the last look and the close. If it may be told so, it answers none meanwhile: their clients try
        # again, and are refused.
        if not self.closed:
            answer_no_more(self.socket)
        while not self.closed and not self.full() and (waiting := self.do_read()):
            self.do_handle(*waiting)
        self.close()
        started = time.monotonic()
        for end in list(self.streams.values()):
            end()
        for handler in list(self.idle):
            if not handler.is_new:
                handler.expect_no_more()
        self.pool.join(min(self.bounds.last, timeout or 0))
        # Their readers do not read.
        for handler in list(self.streams):
            handler.cut_off()
        for handler in list(self.idle):
            handler.expect_no_more()
        super().stop(max(0, (timeout or 0) - (time.monotonic() - started)))


def is_at_end(descriptor: int) -> bool:
    """Whether nothing more comes on a connection, as far as that can be said without waiting."""
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        sock.setblocking(False)
        try:
            return not sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True


def answer_no_more(listener: Any) -> bool:
    """Have the kernel drop every SYN that arrives at a listener, by a socket filter of Linux. Returns False where there
    is none, or where the process may not set one: some kernels want CAP_NET_ADMIN for it.
    """
    if sys.platform != "linux":
        return False
    # In the kernel's struct sock_filter: load the byte with TCP's flags; if SYN (2) is not set, skip the drop.
    steps = [(0x30, 0, 0, 13), (0x45, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    argument = struct.pack("HL", len(steps), ctypes.addressof(program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)
    except OSError:
        return False
    return True


class _Rejected(Exception):
    """The request cannot be handed to the application."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _read_fields(rfile: Any, left: int) -> list[tuple[str, str]]:
    """A request's header fields, of `left` bytes at the most, with their names in lower case. Raises _Rejected.

    Read here and not by the standard library's parser for mail, which takes a fifth of a request's time, and takes
    lines that no HTTP client sends (continued ones, names with spaces), on which another server may differ.
    """
    # Mostly all are there already: read at once what is as it should be, and line by line only what is not.
    there = rfile.peek(1)
    end = there.find(b"\r\n\r\n") + 2
    text = there[:end].decode("latin-1")
    # The one pattern before the other: alone, `findall` would look for a field behind each character of what is none.
    found = _FIELD.findall(text) if _FIELDS(text) and end + 2 <= left else []
    if 0 < len(found) <= _MAX_FIELDS:
        rfile.read(end + 2)
    else:
        found = _read_lines(rfile, left)
    return [(name.lower(), value.strip(" \t")) for name, value in found]


def _read_lines(rfile: Any, left: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while True:
        line = rfile.readline(left + 1)
        left -= len(line)
        if left < 0 or len(found) > _MAX_FIELDS:
            raise _Rejected(431)
        if line == b"\r\n":
            return found
        field = _FIELD.fullmatch(line.decode("latin-1"))
        if not field:
            raise _Rejected(400)
        found.append((field[1], field[2]))


class _Input(_WSGIInput):  # type: ignore[misc]
    """A request's body. `framing`: how many bytes may frame its chunks.

    Chunks are read here: gevent takes line feeds within extensions and trailers, and sizes without a digit."""

    def __init__(self, rfile: Any, content_length: int | None, sock: Any, chunked: bool, framing: int) -> None:
        super().__init__(rfile, content_length, sock, chunked)
        self._framing = framing
        self._left = 0
        self._ended = False

    def _chunked_read(self, length: int, _use_readline: bool = False) -> bytes:
        self._send_100_continue()
        data = bytearray()
        while len(data) < length and not self._ended:
            self._left = self._left or self._next_size()
            wanted = min(self._left, length - len(data))
            piece = self.rfile.read(wanted)
            data += piece
            self._left -= len(piece)
            # The connection has ended within the chunk, or the chunk does not end with CRLF.
            if len(piece) < wanted or (not self._left and not self._ended and self.rfile.read(2) != b"\r\n"):
                raise _Rejected(400)
        return bytes(data)

    def _next_size(self) -> int:
        line = self.rfile.readline(self._framing + 1)
        self._framing -= len(line)
        chunk = _CHUNK(line)
        if not chunk or self._framing < 0:
            raise _Rejected(400)
        size = int(chunk[1], 16)
        if not size:
            _read_fields(self.rfile, self._framing)
            self._ended = True
        return size


# Nothing is left to discard as far as gevent knows.
_NO_BODY: Any = _WSGIInput(None, None)


class _Handler(_WSGIHandler):  # type: ignore[misc]
    """One connection: its requests one after the other."""

    server: _Server
    environ: dict[str, Any]
    status: Any
    command: str | None
    path: str | None
    headers: dict[str, str]  # the first field of each name
    wsgi_input: pywsgi.Input
    response_headers: list[tuple[bytes, bytes]]
    # Nothing has arrived yet. Its client has a request to send, and would not try that again elsewhere.
    is_new = True
    is_old = False  # of HTTP/1.0
    _deadline: gevent.Timeout | None = None
    _unread = False

    def handle(self) -> None:
        self.client = self.server.client_of(self.client_address)
        self.log = access_log.bind()  # once a connection: it is made anew each time
        # Without it, a small response waits for the client's delayed acknowledgement of the one before: 40 ms.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(self.server.bounds.first)
        try:
            super().handle()
        finally:
            self.server.waiting.discard(self)

    def cut_off(self) -> None:
        """End the connection that it waits on."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def begin_stream(self, end: Callable[[], None]) -> bool:
        """See `context.Connection`."""
        if self.server.draining or len(self.server.streams) >= self.server.bounds.streams:
            return False
        self.server.streams[self] = end
        self._watch_for_end()
        # What waits for a slow reader waits where it is counted, and not in the kernel.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _STREAM_BUFFER)
        return True

    def _watch_for_end(self) -> None:
        """Ends a stream as soon as its reader is gone, and not when it is next written to."""
        self._watcher = watcher = gevent.get_hub().loop.io(self.socket.fileno(), 1)

        def on_readable() -> None:
            # Once: what is there and is no end is the next request, which waits for the end of the stream.
            watcher.stop()
            if is_at_end(self.socket.fileno()) and self in self.server.streams:
                self.server.streams[self]()

        watcher.start(on_readable)

    def expect_no_more(self) -> None:
        """Requests that have arrived already are still read; after them the connection ends."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RD)

    def handle_one_request(self) -> Any:
        self.environ = {}
        self.command = self.path = None
        try:
            result = super().handle_one_request()
        except gevent.Timeout as timeout:
            if timeout is not self._deadline:
                raise
            result = ("408", b"")
        except _Rejected as rejected:
            result = (str(rejected.status), b"")
        except OSError:
            result = None
        finally:
            self._end_deadline()
        if isinstance(result, tuple):
            self._reject(int(result[0]))
            result = None
        if self._unread:
            self._linger()
        return result

    # Reading a request

    def read_requestline(self) -> str:
        if self.server.draining and not self.is_new:
            self.expect_no_more()
        if not self.is_new:
            # A client whose next request is there already would keep all others waiting.
            gevent.sleep(0)
        # The deadline starts with the request's first byte; until then the connection is idle.
        self.server.waiting.add(self)
        self.server.idle.add(self)
        try:
            arrived = self.rfile.peek(1)
        except OSError:
            if not self.server.draining:
                raise
            # Woken by `expect_no_more`: what has arrived by then is there to be read.
            arrived = self.rfile.peek(1)
        finally:
            self.server.idle.discard(self)
        if not arrived:
            return ""
        if self.is_new:
            self.is_new = False
            self.socket.settimeout(self.server.bounds.idle)
        # A head that is there already is not waited for.
        if b"\r\n\r\n" not in arrived:
            self._start_deadline()
        self.time_start = time.time()
        line: str = super().read_requestline()
        return line

    def read_request(self, raw_requestline: str) -> bool:
        line = _REQUEST_LINE(raw_requestline)
        if not line:
            raise _Rejected(400)
        self.command, self.path, path, self.request_version = line.groups()
        self.is_old = self.request_version == "HTTP/1.0"
        self._fields = fields = _read_fields(self.rfile, self.server.bounds.head)
        self.path = path
        if not self._is_unambiguous():
            raise _Rejected(400)
        self.headers = headers = dict(reversed(fields))
        length = headers.get("content-length")
        self.content_length = None if length is None else int(length)
        if self.content_length and self.command == "HEAD":
            raise _Rejected(400)
        connection = headers.get("connection", "").lower()
        self.close_connection = connection != "keep-alive" if self.is_old else connection == "close"
        return True

    def _is_unambiguous(self) -> bool:
        fields = self._fields
        hosts = [value for name, value in fields if name == "host"]
        lengths = [value for name, value in fields if name == "content-length"]
        codings = [value for name, value in fields if name == "transfer-encoding"]
        return (
            (len(hosts) == 1 or (self.is_old and not hosts))
            and all(map(_HOST, hosts))
            and len(lengths) <= 1
            and all(map(_DIGITS, lengths))
            and (not codings or (not lengths and not self.is_old and [each.lower() for each in codings] == ["chunked"]))
        )

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = self.server.get_environ()
        path, _, query = (self.path or "").partition("?")
        peer = str(self.client_address[0])
        environ |= {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": peer,
            "REMOTE_PORT": str(self.client_address[1]),
            "wsgi.input_terminated": True,
            context.CONNECTION: self,
        }
        for name, variable in _ELSEWHERE.items():
            if given := self.headers.get(name):
                environ[variable] = given
        for name, value in self._fields:
            # `X_API_Key` would pass for `X-API-Key`.
            if "_" in name or name in _ELSEWHERE:
                continue
            variable = f"HTTP_{name.replace('-', '_').upper()}"
            if variable in environ:
                environ[variable] += ("; " if "COOKIE" in variable else ",") + value
            else:
                environ[variable] = value
        # HTTP/1.0 has no interim responses: its clients would take `100 Continue` for the response.
        if self.is_old:
            environ.pop("HTTP_EXPECT", None)
        is_trusted = self.client is None
        if is_trusted:
            environ["REMOTE_ADDR"] = self.server.proxies.client(peer, environ.get("HTTP_X_FORWARDED_FOR", ""))
            if environ.get("HTTP_X_FORWARDED_PROTO", "").lower() == "https":
                environ["wsgi.url_scheme"] = "https"
        is_chunked = "transfer-encoding" in self.headers
        waiting = self.socket if environ.get("HTTP_EXPECT") == "100-continue" else None
        self.wsgi_input = _NO_BODY
        if is_chunked or self.content_length or waiting:
            self.wsgi_input = _Input(self.rfile, self.content_length, waiting, is_chunked, self.server.bounds.head)
        return environ

    def _handle_client_error(self, ex: Exception) -> Any:
        if isinstance(ex, _Rejected | OSError):
            raise ex
        raise _Rejected(400)

    def _read_body(self, held: ExitStack) -> None:
        """Put the body into memory, or leave it on the socket when it is larger than it may be.

        Either way the length is in the environment, and what is too long is for the application to refuse. A large
        body is counted as one until `held` is closed. One that is streamed is left to the application."""
        if self.content_length and self.server.is_streamed(self.environ):
            self.environ["wsgi.input"] = self.wsgi_input
            return
        self._start_deadline()
        max_bytes = self.server.bounds.body
        body = self._read_up_to(max_bytes)
        size = max(self.content_length or 0, len(body))
        if size > max_bytes and (allowed := self.server.body_limit(self.environ)) >= size:
            max_bytes = allowed
            held.enter_context(self.server.large_of_app[self.environ.get(context.APP_ID, "")])
            held.enter_context(self.server.large)
            body += self._read_up_to(max_bytes, len(body))
        # From here on it is a body of known length.
        if self.environ.pop("HTTP_TRANSFER_ENCODING", None):
            self.environ["CONTENT_LENGTH"] = str(len(body))
        if int(self.environ.get("CONTENT_LENGTH", 0)) > max_bytes:
            self._unread = self.close_connection = True
            self.wsgi_input = _NO_BODY
        self.environ["wsgi.input"] = BytesIO(body)

    def _read_up_to(self, max_bytes: int, already: int = 0) -> bytes:
        """The rest of the body after `already` bytes, up to one byte more than `max_bytes` in all; nothing if it
        announces more."""
        if (self.content_length or 0) > max_bytes:
            return b""
        try:
            data: bytes = self.wsgi_input.read(max_bytes + 1 - already)
        except OSError:
            raise _Rejected(400) from None
        return data

    def _start_deadline(self) -> None:
        """It ends in any case. What is there already needs none, as nothing waits for it."""
        if self._deadline is None:
            self._deadline = gevent.Timeout.start_new(self.server.bounds.read)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.close()
            self._deadline = None

    # Answering

    def handle_one_response(self) -> None:
        if self.wsgi_input is _NO_BODY:
            self.environ["wsgi.input"] = BytesIO()
            self._respond()
        else:
            with ExitStack() as held:
                self._read_body(held)
                self._respond()

    def _respond(self) -> None:
        self._end_deadline()
        self.server.waiting.discard(self)
        try:
            super().handle_one_response()
        finally:
            if self.server.streams.pop(self, None):
                self._watcher.close()

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        text = status + "".join([name + value for name, value in headers])
        if exc_info or "\r" in text or "\n" in text:
            return super().start_response(status, headers, exc_info)  # which raises
        self.response_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self.status, self.code = status.encode(), int(status[:3])
        given = {name.lower(): value for name, value in headers}
        self.provided_date = given.get("date")
        self.provided_content_length = given.get("content-length")
        if given.get("connection") == "close":
            self.close_connection = True
        elif self.is_old and "connection" not in given:
            self.response_headers.append((b"Connection", b"close" if self.close_connection else b"keep-alive"))
        return self.write

    def _sendall(self, data: bytes) -> None:
        self.server.waiting.add(self)
        # What is taken at once is most of what there is. For the rest gevent waits, and does more around it.
        try:
            sent = self.socket.send(data, 0, 0.0)
        except OSError:
            sent = 0  # it happens once more
        self.response_length += sent
        if sent < len(data):
            super()._sendall(data[sent:])
        # A stream waits for its reader only while it writes.
        if self in self.server.streams:
            self.server.waiting.discard(self)

    def finalize_headers(self) -> None:
        if self._is_partly_read():
            self._unread = self.close_connection = True
            self.wsgi_input = _NO_BODY
        if not self.server.keeps_connections:
            self.close_connection = True
        if self.close_connection:
            self.response_headers = [
                *(pair for pair in self.response_headers if pair[0] != b"Connection"),
                (b"Connection", b"close"),
            ]
        super().finalize_headers()
        if self.command == "HEAD":
            self.response_use_chunked = False  # It has no body, so no last chunk.

    def _is_partly_read(self) -> bool:
        """Whether the application answers before it has read all of a body that is streamed."""
        return self.environ.get("wsgi.input") is self.wsgi_input and self.wsgi_input.position < (
            self.content_length or 0
        )

    def _write_with_headers(self, data: bytes) -> None:
        """Head and body in one piece: one system call, and one packet for a small response."""
        self.headers_sent = True
        self.finalize_headers()
        fields = b"".join([b"%b: %b\r\n" % field for field in self.response_headers])
        head = b"HTTP/1.1 %s\r\n%s\r\n" % (self.status, fields)
        if self.response_use_chunked:
            self._sendall(head)
            self._write(data)
        else:
            self._sendall(head + data)

    def _reject(self, status: int) -> None:
        """Respond in the application's place, and end: nobody knows where the next request begins."""
        self._unread = True
        self.time_finish = time.time()
        with suppress(OSError):
            self._send_error(status)
        self.log_request()

    def _send_error_response_if_possible(self, error_code: int) -> None:
        # The application raised, which it does only when it is cut off by `stop`.
        self.close_connection = True
        if not self.response_length:
            with suppress(OSError):
                self._send_error(503 if self.server.draining else error_code)

    def _send_error(self, status: int) -> None:
        body = orjson.dumps(errors.body(errors.TITLES[status]))
        request_id = self.environ.setdefault(context.REQUEST_ID, str(uuid.uuid4()))
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-ID: {request_id}\r\n{errors.CODE_HEADER}: {errors.CODES[status]}\r\nConnection: close\r\n\r\n"
        )
        self.status, self.code = str(status), status
        self.response_length = len(head) + len(body)
        self.socket.sendall(head.encode() + body)

    def _linger(self) -> None:
        """Let the client get as far as reading the response: closing over unread data resets the connection."""
        left = self.server.bounds.lingered
        silent: Any = False
        with suppress(OSError), gevent.Timeout(self.server.bounds.linger, silent):
            self.socket.shutdown(socket.SHUT_WR)
            while left > 0 and (data := self.socket.recv(min(left, 65536))):
                left -= len(data)

    def log_request(self) -> None:
        # pywsgi makes the status of a response negative whose client is gone before it is sent.
        is_broken_off = bool(self.status) and self.code < 0
        status = abs(self.code) if self.status else None
        seconds = self.time_finish - self.time_start
        metrics.count(self.command, self.environ.get(context.ROUTE, metrics.UNKNOWN), status, seconds)
        # No headers and no query string: these carry keys and cursors.
        path = None if self.path is None else self.path.partition("?")[0][:_LOGGED_PATH]
        self.log.info(
            "request",
            method=self.command,
            path=path,
            status=status,
            broken_off=is_broken_off,
            ms=round(1000 * seconds, 1),
            bytes=self.response_length,
            client=self.environ.get("REMOTE_ADDR", self.client_address[0]),
            app=self.environ.get(context.APP_ID),
            actor=self.environ.get(context.ACTOR),
            request_id=self.environ.get(context.REQUEST_ID),
        )
