"""Fetches files from the servers that apps name, as from anyone who may mean harm.

A fetch is a GET on a connection of its own. Each redirect is a new URL, which is taken apart, resolved, checked and
connected to like the first. Only the last response counts: its status, its headers, its body.

What a server can do is bounded: the length of a head, the number of redirects, the bytes of a body, the time of it
all, and the time for each few kilobytes of a body. A body is written as it comes, so a fetch takes little memory.
Nothing that a server sends is logged or part of an error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO
from urllib.parse import quote, urljoin

import gevent
from geventhttpclient.response import HTTPParseError, HTTPResponse
from prometheus_client import Counter, Histogram

from controller.media.reasons import AudioFailed
from controller.outbound.network import USER_AGENT, Blocked, Network
from controller.outbound.target import Target, parse_url
from controller.turns import Turns

MAX_FETCHES = 64  # at a time
MAX_FETCHES_OF_APP = 8
MAX_HEAD_BYTES = 32768  # of a response, with those that come before it (1xx)
MAX_VALIDATOR_LENGTH = 1024  # a longer one is not sent back
DEFAULT_FRESH_SECONDS = 300.0
MAX_FRESH_SECONDS = 86400.0

FETCHES = Counter(
    "switchroom_media_fetches",
    "Files asked for at their servers, by what followed: fetched, unchanged, aborted (here), or the reason why not",
    ["outcome"],
)
FETCHED_BYTES = Counter("switchroom_media_fetched_bytes", "Bytes of files that came from their servers")
FETCH_SECONDS = Histogram(
    "switchroom_media_fetch_seconds",
    "From the start of a fetch to its end, without the wait for its turn",
    buckets=(0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

_REDIRECTS = (301, 302, 303, 307, 308)
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (Blocked, "forbidden_address"),
    (TimeoutError, "timeout"),
    (Exception, "unreachable"),
)


Progress = Callable[[int, int], None]
"""Is given how many bytes the server says the body has, 0 if it doesn't say, and how many were written."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Of one fetch. `seconds`: from the look-up of the name to the last byte. `min_bytes_per_second`: of a body, over
    `rate_seconds`; until the head has come only `seconds` counts, since some servers make a file when it is asked for.
    """

    max_bytes: int = 64 << 20
    seconds: float = 30.0
    min_bytes_per_second: int = 1024
    rate_seconds: float = 5.0
    max_redirects: int = 5


@dataclass(frozen=True, slots=True)
class Validators:
    """What names a version of a file: the headers ETag and Last-Modified as they came; empty without."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """`modified`: whether there is a new version; if not, nothing was written, and `validators` are those that are
    known. `bytes`: that were written. `fresh_seconds`: for how long from now the file need not be asked for again.
    """

    modified: bool
    bytes: int
    validators: Validators
    fresh_seconds: float


class Origin:
    """Fetches over `network`. At most MAX_FETCHES run at a time, MAX_FETCHES_OF_APP of one app; the rest waits its
    turn, which does not count towards the time of a fetch. `clock`: epoch seconds.
    """

    def __init__(
        self, network: Network, limits: FetchLimits | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._network = network
        self._limits = limits or FetchLimits()
        self._clock = clock
        self._turns = Turns(MAX_FETCHES, MAX_FETCHES_OF_APP)

    def fetch(
        self,
        app_id: str,
        url: str,
        into: BinaryIO,
        known: Validators | None = None,
        progress: Progress = lambda _claimed, _written: None,
    ) -> Fetched:
        """Writes the body to `into`, which is neither flushed nor closed. With `known` the server may say that there is
        nothing new.

        Raises AudioFailed; OSError when `into` cannot be written to. After either, a part may have been written.
        """
        with self._turns.turn(app_id):
            started, outcome = time.monotonic(), "aborted"
            try:
                with gevent.Timeout(self._limits.seconds, AudioFailed("timeout")):
                    fetched = self._follow(app_id, url, into, known or Validators(), progress)
                outcome = "fetched" if fetched.modified else "unchanged"
                return fetched
            except AudioFailed as failed:
                outcome = failed.reason
                raise
            finally:
                FETCHES.labels(outcome).inc()
                FETCH_SECONDS.observe(time.monotonic() - started)

    def _follow(self, app_id: str, url: str, into: BinaryIO, known: Validators, progress: Progress) -> Fetched:
        for _ in range(self._limits.max_redirects + 1):
            with _reasons():
                target = _parse(url)
                sock = self._network.connect(app_id, target)
            with closing(sock):
                response = self._ask(sock, target, known)
                if response.status not in _REDIRECTS:
                    return self._receive(sock, response, into, known, progress)
            with _reasons():
                url = urljoin(url, response.location)
        raise AudioFailed("unreachable")

    def _ask(self, sock: Any, target: Target, known: Validators) -> _Response:
        """Returns once the head of the response is complete; a part of its body may have come, too."""
        response = _Response()
        received = 0
        with _reasons():
            sock.sendall(_request(target, known))
            while not response.status:
                data = sock.recv(4096)
                received += len(data)
                if not data or received > MAX_HEAD_BYTES:
                    raise AudioFailed("unreachable")
                response.feed(data)
        return response

    def _receive(
        self, sock: Any, response: _Response, into: BinaryIO, known: Validators, progress: Progress
    ) -> Fetched:
        if response.status >= 400:
            raise AudioFailed("not_found", response.status)
        fresh_seconds = fresh_for(response.fields, self._clock())
        if response.status == 304 and known != Validators():
            return Fetched(False, 0, known, fresh_seconds)
        if response.status != 200:
            # Not a whole file: nothing (204), a part (206), or what was not asked for.
            raise AudioFailed("unreachable")
        with _reasons():
            claimed = int(response.fields.get("content-length", 0))
        if claimed > self._limits.max_bytes:
            raise AudioFailed("too_large")
        # Chunks end the body, whatever else the head says.
        expected = 0 if "transfer-encoding" in response.fields else claimed
        received = 0
        for data in self._body(sock, response):
            received += len(data)
            if received > self._limits.max_bytes:
                raise AudioFailed("too_large")
            into.write(data)
            FETCHED_BYTES.inc(len(data))
            progress(expected, received)
            # What comes fast would keep all else in this process waiting.
            gevent.sleep(0)
        return Fetched(True, received, response.validators, fresh_seconds)

    def _body(self, sock: Any, response: _Response) -> Iterator[bytes]:
        """Raises AudioFailed when it ends too early, is not HTTP, or comes too slowly."""
        limits = self._limits
        due, missing = 0.0, 0
        while True:
            if data := response.take():
                missing -= len(data)
                yield data
            if response.is_complete:
                return
            if missing <= 0:
                due = time.monotonic() + limits.rate_seconds
                missing = int(limits.rate_seconds * limits.min_bytes_per_second)
            left = due - time.monotonic()
            if left <= 0:
                raise AudioFailed("timeout")
            with _reasons(), gevent.Timeout(left, AudioFailed("timeout")):
                # Where data is always there, no other greenlet and no timeout would get its turn.
                gevent.sleep(0)
                # Without data the server has closed the connection, which ends a body that has no length.
                response.feed(sock.recv(65536))


class _Response(HTTPResponse):
    """The first response that is no interim one (1xx). What follows its body does not matter: trailers, another
    response, garbage.
    """

    def __init__(self) -> None:
        super().__init__("GET")
        self.status = 0  # until the head is complete
        self.fields: dict[str, str] = {}
        self.is_complete = False
        self._body = bytearray()

    def feed(self, data: bytes) -> None:  # type: ignore[override]
        try:
            super().feed(data)
        except HTTPParseError:
            if not self.is_complete:
                raise

    def take(self) -> bytes:
        """What has come of the body since the last time."""
        data = bytes(self._body)
        self._body.clear()
        return data

    @property
    def location(self) -> str:
        """Raises ValueError without one. Servers write it as Latin-1, which is what HTTP says, or as UTF-8."""
        location = self.fields.get("location")
        if location is None:
            raise ValueError("no location")
        try:
            return location.encode("latin-1").decode()
        except UnicodeDecodeError:
            return location

    @property
    def validators(self) -> Validators:
        found = [self.fields.get(name, "") for name in ("etag", "last-modified")]
        return Validators(*[value if len(value) <= MAX_VALIDATOR_LENGTH else "" for value in found])

    # For the parser

    def _on_message_begin(self) -> None:
        if self.status:
            raise HTTPParseError("more than one response")
        super()._on_message_begin()

    def _on_header_field(self, string: str) -> None:
        if not self.status:
            super()._on_header_field(string)

    def _on_header_value(self, string: str) -> None:
        if not self.status:
            super()._on_header_value(string)

    def _on_headers_complete(self) -> int | bool | None:
        result = super()._on_headers_complete()
        if self.get_code() >= 200:
            self.status = self.get_code()
            for name, value in self.items():
                before = self.fields.get(name.lower())
                self.fields[name.lower()] = value if before is None else f"{before}, {value}"
        return result

    def _on_body(self, buf: bytearray) -> None:
        self._body += buf

    def _on_message_complete(self) -> None:
        super()._on_message_complete()
        self.is_complete = bool(self.status)


def fresh_for(fields: dict[str, str], now: float) -> float:
    """For how many seconds from `now` (epoch seconds) a response is fresh (RFC 9111, as a private cache reads it).
    `fields`: its headers by their names in lower case.
    """
    directives: dict[str, str] = {}
    for directive in fields.get("cache-control", "").lower().split(","):
        name, _, value = directive.partition("=")
        directives.setdefault(name.strip(), value.strip(' \t"'))
    if directives.keys() & {"no-store", "no-cache"}:
        return 0.0
    seconds = _seconds(directives.get("max-age", ""))
    if seconds is None and "expires" in fields:
        # What is no time, such as `0`, has expired.
        seconds = max(0.0, _time(fields["expires"], 0.0) - _time(fields.get("date", ""), now))
    if seconds is None:
        return DEFAULT_FRESH_SECONDS
    age = _seconds(fields.get("age", "")) or 0.0
    return min(max(0.0, seconds - age), MAX_FRESH_SECONDS)


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _time(text: str, default: float) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return default


_UP_TO_PATH = re.compile("([^:/?#]*:)?(//[^/?#]*)?")
_NOT_IN_URLS = re.compile(r"[^!-~]")


def _parse(url: str) -> Target:
    """As parse_url, and blanks and other characters that no URL holds are percent-encoded, if they follow the host.
    Raises ValueError.
    """
    start = _UP_TO_PATH.match(url).end()  # type: ignore[union-attr]  # it matches any text
    return parse_url(url[:start] + _NOT_IN_URLS.sub(lambda found: quote(found[0]), url[start:]))


def _request(target: Target, known: Validators) -> bytes:
    lines = [
        f"GET {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        f"User-Agent: {USER_AGENT}",
        "Accept: audio/*, */*;q=0.5",
        "Accept-Encoding: identity",
        "Connection: close",
    ]
    if known.etag:
        lines.append(f"If-None-Match: {known.etag}")
    if known.last_modified:
        lines.append(f"If-Modified-Since: {known.last_modified}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@contextmanager
def _reasons() -> Iterator[None]:
    """What goes wrong with a URL or a connection becomes AudioFailed."""
    try:
        yield
    except (OSError, ValueError, HTTPParseError) as error:
        reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
        raise AudioFailed(reason) from error
