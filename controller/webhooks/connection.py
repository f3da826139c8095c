"""One endpoint over HTTP: keep-alive connections to addresses that were checked, and an answer read in
bounds.
"""

from __future__ import annotations

import socket as stdlib_socket
import ssl
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, urlsplit

import gevent
from gevent import monkey
from gevent import socket as gsocket
from gevent.event import AsyncResult
from geventhttpclient.response import HTTPParseError, HTTPResponse

from controller.outbound.addresses import is_public
from controller.outbound.network import Network
from esl.commands import ascii_name

ANSWER_BYTES = 1024  # of the body that are read; a longer one ends the connection
HEAD_BYTES = 16384  # of the head that are read; a longer one is a failure
BODY_SECONDS = 2.0  # for the body, once the head has said what became of the webhook
CONNECT_SECONDS = 5.0  # for one address, so that the next one gets its turn within the attempt
IDLE_SECONDS = 30.0  # after which an unused connection is closed

_DEFAULT_PORTS = {"http": 80, "https": 443}
_USER_AGENT = f"Switchroom/{version('switchroom')}"

# The one that blocks, whether or not the process is patched.
_poll = monkey.get_original("select", "poll")


class AttemptFailed(Exception):
    """No answer was had. The text says why, for the tenant to read."""


class _Stale(Exception):
    """A kept connection was closed by the endpoint before anything of an answer came."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. `host` as it is resolved, `authority` and `path` as they are sent."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`body`: at most the first ANSWER_BYTES of it; `retry_after`: that header of a failure, empty without."""

    status: int
    body: bytes
    retry_after: str = ""


def parse_url(url: str) -> Target:
    """Raises ValueError, with what is wrong, for all but an http or https URL with a host and without user
    info.
    """
    if not url.isprintable() or " " in url:
        raise ValueError("the webhook URL has blanks or control characters")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
        if ":" not in host:
            host = ascii_name(host)
    except ValueError:
        raise ValueError("the webhook URL has no valid host and port") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("the webhook URL is not http or https")
    if not host:
        raise ValueError("the webhook URL has no host")
    if "@" in parts.netloc:
        raise ValueError("the webhook URL has user info")
    default = _DEFAULT_PORTS[parts.scheme]
    port = default if port is None else port
    authority = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = f"?{quote(parts.query, safe='/?%:@!$&()*+,;=~')}" if parts.query else ""
    return Target(parts.scheme, host, port, authority if port == default else f"{authority}:{port}", path + query)


class Connections:
    """Posts to one URL of an app over connections that it keeps. How many at a time is up to the caller. Raises
    ValueError for a URL that `parse_url` refuses.
    """

    def __init__(self, app: str, url: str, network: Network) -> None:
        self._target = parse_url(url)
        self._app = app
        self._network = network
        self._idle: list[tuple[float, Any]] = []
        self._lookup: AsyncResult[list[str]] | None = None
        self._head = (
            f"POST {self._target.path} HTTP/1.1\r\nHost: {self._target.authority}\r\n"
            f"User-Agent: {_USER_AGENT}\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        )

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> Answer:
        """One request, all of it within `timeout` seconds. Raises AttemptFailed when there is no answer."""
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

    def _post(self, request: bytes) -> Answer:
        kept = self._take()
        if kept is not None:
            try:
                return self._exchange(kept, request)
            except _Stale:
                # Closed while the request was on its way: an endpoint that ends idle connections, no failure
                # of it.
                pass
        return self._exchange(self._connect(), request)

    def _take(self) -> Any:
        while self._idle:
            sock = self._idle.pop()[1]
            if _is_quiet(sock):
                return sock
            sock.close()
        return None

    def _connect(self) -> Any:
        refusal: Exception = AttemptFailed("the name of the webhook URL has no address")
        for address in self._resolve():
            if not self._network.allow_private and not is_public(address):
                # Without the address: the name may be of a private network, and the tenant is told this.
                refusal = AttemptFailed("blocked: it leads to an address that is not public")
                continue
            sock = gsocket.socket(gsocket.AF_INET6 if ":" in address else gsocket.AF_INET, gsocket.SOCK_STREAM)
            try:
                sock.settimeout(CONNECT_SECONDS)
                sock.connect((address, self._target.port))
                sock.setsockopt(gsocket.IPPROTO_TCP, gsocket.TCP_NODELAY, 1)
                if self._target.scheme == "https":
                    sock = self._network.tls.wrap_socket(sock, server_hostname=self._target.host)
                sock.settimeout(None)
            except OSError as error:
                refusal = error
                sock.close()
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise refusal

    def _resolve(self) -> list[str]:
        """Connections that are opened at the same time share one look-up, so a dead name holds one thread."""
        if self._lookup is None or self._lookup.ready():
            self._lookup = self._network.look_up(self._app, self._target.host, self._target.port)
        return self._lookup.get() or []

    def _exchange(self, sock: Any, request: bytes) -> Answer:
        parser = _Parser()
        received = 0
        keep = False
        try:
            try:
                sock.sendall(request)
                while not parser.is_final:
                    data = sock.recv(4096)
                    if not data:
                        raise (_Stale if not received else AttemptFailed("the connection was closed within the answer"))
                    received += len(data)
                    if received > HEAD_BYTES:
                        raise AttemptFailed("the answer's head is too long")
                    parser.feed(data)
            except (BrokenPipeError, ConnectionResetError):
                raise (
                    _Stale if not received else AttemptFailed("the connection was reset within the answer")
                ) from None
            # The status is known: what happens to the body from here on changes it no more.
            try:
                with gevent.Timeout(BODY_SECONDS, TimeoutError()):
                    while not parser.message_complete and parser.body_bytes <= ANSWER_BYTES:
                        parser.feed(data := sock.recv(4096))
                        if not data:
                            break
            except (OSError, HTTPParseError):
                pass
            else:
                keep = parser.message_complete and not parser.should_close()
            status = parser.get_code()
            return Answer(status, bytes(parser.start[:ANSWER_BYTES]), parser.retry_after if status >= 400 else "")
        finally:
            if keep:
                self._idle.append((time.monotonic(), sock))
            else:
                sock.close()


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
        if len(self.start) < ANSWER_BYTES:
            self.start += buf


def _is_quiet(sock: Any) -> bool:
    """A kept connection on which something came is one that the endpoint has closed, or has broken."""
    poll = _poll()
    poll.register(sock.fileno())
    return not any(event & ~_WRITABLE for _, event in poll.poll(0))


_WRITABLE = 4  # POLLOUT

_TEXTS: tuple[tuple[type[OSError], str], ...] = (
    (ssl.SSLCertVerificationError, "TLS: {0.verify_message}"),
    (ssl.SSLError, "TLS: {0.reason}"),
    (stdlib_socket.gaierror, "the name of the webhook URL does not resolve"),
    (ConnectionRefusedError, "the connection was refused"),
    (TimeoutError, "the connection took too long"),
)


def _describe(error: OSError) -> str:
    for kind, text in _TEXTS:
        if isinstance(error, kind):
            return text.format(error)
    return f"the connection failed: {error.strerror or type(error).__name__}"
