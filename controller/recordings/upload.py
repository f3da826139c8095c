"""Sends a recording to the URL that its app gave, as to anyone who may mean harm.

It is a PUT over a connection of its own, to an address that was checked. A redirect is not followed: a URL that is
signed is good for itself alone. Nothing of a URL, or of what its server says but the status, is logged or stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import gevent
from geventhttpclient.response import HTTPParseError, HTTPResponse
from prometheus_client import Counter

from controller.outbound.network import USER_AGENT, Blocked, Network
from controller.outbound.target import Target, parse_url
from controller.recordings.folder import CHUNK_BYTES

# For one that has no bytes, and for each of those.
MIN_SECONDS = 60.0
MIN_BYTES_PER_SECOND = 64 * 1024
STALL_SECONDS = 30.0  # for a piece to go out, and for the response once all has
MAX_HEAD_BYTES = 32768

uploads_total = Counter(
    "switchroom_recordings_uploads",
    "Attempts to send a recording to its app's URL: uploaded, refused (by its status), or why there was no response",
    ["outcome"],
)
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (Blocked, "forbidden_address"),
    (TimeoutError, "timeout"),
    (Exception, "unreachable"),
)


@dataclass(frozen=True, slots=True)
class Upload:
    """`status`: of the response, None without one. `reason`: one of _REASONS' then."""

    status: int | None = None
    reason: str = ""

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def seconds_for(size: int) -> float:
    """How long it may take to send a recording of so many bytes, to an app or a relay."""
    return MIN_SECONDS + size / MIN_BYTES_PER_SECOND


class Uploader:
    """Uploads over `network`."""

    def __init__(self, network: Network, clock: Callable[[], float] = time.monotonic) -> None:
        self._network = network
        self._clock = clock

    def upload(self, app_id: str, url: str, file: BinaryIO, size: int) -> Upload:
        """Sends a file of so many bytes from its beginning. Raises OSError when it cannot be read."""
        file.seek(0)
        try:
            with gevent.Timeout(seconds_for(size), TimeoutError()):
                upload = Upload(status=self._put(app_id, parse_url(url), file, size))
        except (_NotSent, ValueError, HTTPParseError) as error:
            cause = error.cause if isinstance(error, _NotSent) else error
            upload = Upload(reason=next(reason for kind, reason in _REASONS if isinstance(cause, kind)))
        except TimeoutError:
            upload = Upload(reason="timeout")
        outcome = upload.reason or ("uploaded" if upload.is_success else "refused")
        uploads_total.labels(outcome).inc()
        return upload

    def _put(self, app_id: str, target: Target, file: BinaryIO, size: int) -> int:
        try:
            sock = self._network.connect(app_id, target)
        except OSError as error:
            raise _NotSent(error) from None
        with closing(sock):
            sock.settimeout(STALL_SECONDS)
            # Who has closed its end may have said why before.
            with suppress(BrokenPipeError, ConnectionResetError):
                _send(sock, _head(target, size))
                while size and (data := file.read(min(CHUNK_BYTES, size))):
                    size -= len(data)
                    _send(sock, data)
                    gevent.sleep(0)
            try:
                with gevent.Timeout(STALL_SECONDS, TimeoutError()):
                    return _status(sock)
            except OSError as error:
                raise _NotSent(error) from None


class _NotSent(Exception):
    def __init__(self, cause: OSError) -> None:
        super().__init__()
        self.cause = cause


def _send(sock: Any, data: bytes) -> None:
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except OSError as error:
        raise _NotSent(error) from None


def _head(target: Target, size: int) -> bytes:
    lines = [
        f"PUT {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        f"User-Agent: {USER_AGENT}",
        "Accept: */*",
        "Content-Type: audio/wav",
        f"Content-Length: {size}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _status(sock: Any) -> int:
    """Of the response. Raises OSError, HTTPParseError."""
    response, received = HTTPResponse("PUT"), 0
    while not (response.headers_complete and response.get_code() >= 200):
        data = sock.recv(4096)
        received += len(data)
        if not data or received > MAX_HEAD_BYTES:
            raise ConnectionError("no response")
        response.feed(data)
    status: int = response.get_code()
    return status
