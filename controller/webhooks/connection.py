"""One endpoint over HTTP: connections that are kept, and a response that is read within bounds."""

from __future__ import annotations

import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

import gevent
from gevent import monkey
from geventhttpclient.response import HTTPParseError, HTTPResponse

from controller.outbound.network import USER_AGENT, Blocked, Network
from controller.outbound.target import parse_url

MAX_BODY_BYTES = 1024  # that are read; a longer body ends the connection
MAX_HEAD_BYTES = 16384  # that are read; a longer head is a failure
BODY_SECONDS = 2.0  # for the body, once the head has said what became of the webhook
IDLE_SECONDS = 30.0  # after which an unused connection is closed

# The blocking one, even if the process is patched.
_poll = monkey.get_original("select", "poll")
_WRITABLE = 4  # POLLOUT


# Any header line but those that say how the body is sent, or what becomes of the connection.
_SAYS_HOW = rb"content-length|transfer-encoding|proxy-connection|connection(?!: keep-alive\r)"
_OTHER = rb"(?:(?!" + _SAYS_HOW + rb")[\w!#$%&'*+.^`|~-]+:[\t -~]*\r\n)*"
# The head of a response with a short body.
_PLAIN = re.compile(
    rb"HTTP/1\.1 (20[0-2]) [ -~]*\r\n(?i:" + _OTHER + rb"content-length: ?([0-9]{1,3})\r\n" + _OTHER + rb")\r\n"
)


class AttemptFailed(Exception):
    """There was no response. The text says why, for the tenant to read."""


class _Stale(Exception):
    """A kept connection was closed by the endpoint before anything of a response came."""


@dataclass(frozen=True, slots=True)
class Response:
    """`body`: at most the first MAX_BODY_BYTES of it; `retry_after`: that header of a failure, empty without."""

    status: int
    body: bytes
    retry_after: str = ""


class Connections:
    """Posts to one URL of an app over connections that it keeps. How many at a time is up to the caller. Raises
    ValueError for a URL that cannot be used.
    """

    def __init__(self, app_id: str, url: str, network: Network) -> None:
        try:
            self._target = parse_url(url)
        except ValueError as error:
            raise ValueError(f"the webhook URL {error}") from None
        self._app_id = app_id
        self._network = network
        self._idle: list[tuple[float, Any]] = []
        self._head = (
            f"POST {self._target.path} HTTP/1.1\r\nHost: {self._target.authority}\r\n"
            f"User-Agent: {USER_AGENT}\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        )

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> Response:
        """One request, all of it within `timeout` seconds. Raises AttemptFailed when there is no response."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        request = f"{self._head}{lines}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
        try:
            with gevent.Timeout(timeout, AttemptFailed(f"no answer within {timeout:g} s")):
                return self._post(request)
        except _Stale:
            raise AttemptFailed("the connection was closed without an answer") from None
        except HTTPParseError:
            raise AttemptFailed("the answer is not HTTP") from None
        except OSError as error:
            raise AttemptFailed(_describe(error)) from None

    def sweep(self, now: float) -> None:
        """Closes what has not been used for a while. `now`: monotonic seconds."""
        while self._idle and now - self._idle[0][0] > IDLE_SECONDS:
            self._idle.pop(0)[1].close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()

    def _post(self, request: bytes) -> Response:
        kept = self._take()
        if kept is not None:
            try:
                return self._exchange(kept, request)
            except _Stale:
                # Closed while the request was on its way: the endpoint ends idle connections, which is no
                # failure.
                pass
        return self._exchange(self._network.connect(self._app_id, self._target), request)

    def _take(self) -> Any:
        while self._idle:
            sock = self._idle.pop()[1]
            if _is_quiet(sock):
                return sock
            sock.close()
        return None

    def _exchange(self, sock: Any, request: bytes) -> Response:
        keep = False
        try:
            data = _ask(sock, request)
            response = _plain(data)
            if response is not None:
                keep = True
                return response
            parser = _Parser()
            _read_head(sock, data, parser)
            keep = _read_body(sock, parser)
        finally:
            if keep:
                self._idle.append((time.monotonic(), sock))
            else:
                sock.close()
        status = parser.get_code()
        return Response(status, bytes(parser.start[:MAX_BODY_BYTES]), parser.retry_after if status >= 400 else "")


def _ask(sock: Any, request: bytes) -> bytes:
    """Sends the request. Returns what comes first of the response."""
    try:
        sent = sock.send(request)  # mostly all of it: sendall takes longer
        if sent < len(request):
            sock.sendall(request[sent:])
        data: bytes = sock.recv(4096)
    except (BrokenPipeError, ConnectionResetError):
        raise _Stale from None
    if not data:
        raise _Stale
    return data


def _plain(data: bytes) -> Response | None:
    """The response, if this is all of it and it is as most are: the parser takes several times as long."""
    head = _PLAIN.match(data)
    if head is None or len(data) != head.end() + int(head[2]):
        return None
    return Response(int(head[1]), data[head.end() :])


def _read_head(sock: Any, data: bytes, parser: _Parser) -> None:
    """Reads on behind `data` until the status is known; that may read a part of the body, too."""
    received = len(data)
    parser.feed(data)
    try:
        while not parser.is_final:
            data = sock.recv(4096)
            if not data:
                raise AttemptFailed("the connection was closed within the answer")
            received += len(data)
            if received > MAX_HEAD_BYTES:
                raise AttemptFailed("the answer's head is too long")
            parser.feed(data)
    except ConnectionResetError:
        raise AttemptFailed("the connection was reset within the answer") from None


def _read_body(sock: Any, parser: _Parser) -> bool:
    """Returns whether the connection can be used again. An error in the body has no other effect."""
    if not parser.message_complete:
        try:
            with gevent.Timeout(BODY_SECONDS, TimeoutError()):
                while not parser.message_complete and parser.body_bytes <= MAX_BODY_BYTES:
                    parser.feed(data := sock.recv(4096))
                    if not data:
                        break
        except (OSError, HTTPParseError):
            return False
    return bool(parser.message_complete and not parser.should_close())


class _Parser(HTTPResponse):
    """Keeps the start of the body only."""

    def __init__(self) -> None:
        super().__init__("POST")
        self.start = bytearray()
        self.body_bytes = 0

    @property
    def is_final(self) -> bool:
        return self.headers_complete and self.get_code() >= 200

    @property
    def retry_after(self) -> str:
        found = self.get("retry-after")
        return found if isinstance(found, str) else ""

    def _on_body(self, buf: bytearray) -> None:
        self.body_bytes += len(buf)
        if len(self.start) < MAX_BODY_BYTES:
            self.start += buf


def _is_quiet(sock: Any) -> bool:
    """Whether nothing came on a kept connection: what comes means that the endpoint closed or broke it."""
    poll = _poll()
    poll.register(sock.fileno())
    return not any(event & ~_WRITABLE for _, event in poll.poll(0))


_TEXTS: tuple[tuple[type[OSError], str], ...] = (
    (ssl.SSLCertVerificationError, "TLS: {0.verify_message}"),
    (ssl.SSLError, "TLS: {0.reason}"),
    (Blocked, "blocked: it leads to an address that is not public"),
    (socket.gaierror, "the name of the webhook URL does not resolve"),
    (ConnectionRefusedError, "the connection was refused"),
    (TimeoutError, "the connection took too long"),
)


def _describe(error: OSError) -> str:
    for kind, text in _TEXTS:
        if isinstance(error, kind):
            return text.format(error)
    return f"the connection failed: {error.strerror or type(error).__name__}"
