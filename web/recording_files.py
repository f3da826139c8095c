"""The recordings that a relay keeps, over HTTP: nodes send them, and the API fetches them.

A link is good for one recording, and for one of the two.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, BinaryIO

import gevent
import structlog

from controller.errors import StoreUnavailable
from controller.media.links import Links
from controller.recordings.folder import CHUNK_BYTES, Folder, NotRecording
from controller.recordings.keeper import Keeper, received_total
from controller.recordings.upload import seconds_for
from web import context

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RANGE = re.compile("bytes=([0-9]{1,18})-([0-9]{1,18})")

log = structlog.get_logger(__name__)

Start = Callable[[str, list[tuple[str, str]]], Any]


class RecordingFiles:
    """A WSGI application. `max_bytes`: how large a recording may be."""

    def __init__(
        self,
        folder: Folder,
        keeper: Keeper,
        links: Links,
        max_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._keeper = keeper
        self._links = links
        self._max_bytes = max_bytes
        self._clock = clock

    def takes(self, environ: dict[str, Any]) -> bool:
        """Whether it reads the body of a request by itself."""
        return environ["REQUEST_METHOD"] == "PUT" and self._place(environ) is not None

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        environ[context.ROUTE] = "/recordings/<id>"
        place = self._place(environ)
        if place is None:
            return _answer(start, 404)
        if environ["REQUEST_METHOD"] == "PUT":
            outcome, status = self._receive(environ, *place)
            received_total.labels(outcome).inc()
            return _answer(start, status)
        return self._send(environ, start, place[1])

    def _place(self, environ: dict[str, Any]) -> tuple[str, str] | None:
        """The partition and the id of the recording for which the request's link is good."""
        method, path, query = (environ[name] for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING"))
        return self._links.read_recording_link(method, path, query, self._clock())

    def _receive(self, environ: dict[str, Any], tag: str, recording_id: str) -> tuple[str, int]:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if not 0 < size <= self._max_bytes:
            return "too_large", 413 if size else 411
        try:
            # Each piece of it may take as long as the server lets a client wait.
            with gevent.Timeout(seconds_for(size), TimeoutError()):
                received = self._folder.receive(recording_id, size, environ["wsgi.input"].read)
        except NotRecording:
            # To send it again would not help. What there is of it stays on the node.
            return "not_audio", 422
        except OSError as error:
            if error.errno in _FULL:
                log.error("the disk has no room for recordings", reason=error.strerror)
                return "disk_full", 507
            log.warning("a recording was not received", recording=recording_id, reason=str(error))
            return "failed", 408 if isinstance(error, TimeoutError) else 400
        try:
            is_kept = self._keeper.received(tag, recording_id, received)
        except StoreUnavailable:
            return "failed", 503
        return "stored" if is_kept else "known", 200

    def _send(self, environ: dict[str, Any], start: Start, recording_id: str) -> Iterable[bytes]:
        file = self._folder.open(recording_id)
        if file is None:
            return _answer(start, 404)
        size = file.seek(0, 2)
        wanted = _RANGE.fullmatch(environ.get("HTTP_RANGE", ""))
        first, last = (int(wanted[1]), min(int(wanted[2]), size - 1)) if wanted else (0, size - 1)
        length = max(0, last - first + 1)
        file.seek(first)
        start(_status(206 if wanted else 200), [("Content-Type", "audio/wav"), ("Content-Length", str(length))])
        return read_part(file, length)


def read_part(file: BinaryIO, size: int, head: bytes = b"") -> Iterator[bytes]:
    """So many bytes of a file, from where it is, behind a `head`; closes it."""
    with file:
        while size and (data := file.read(min(CHUNK_BYTES, size))):
            size -= len(data)
            yield head + data
            head = b""
            # A reader that is fast would keep all else in this process waiting.
            gevent.sleep(0)


def _status(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def _answer(start: Start, status: int) -> list[bytes]:
    start(_status(status), [("Content-Length", "0")])
    return [b""]
