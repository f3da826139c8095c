"""Files that the node records, and how it sends them elsewhere. What is in them is made up: a quiet tone."""

from __future__ import annotations

import math
import struct
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException

import gevent

TICK = 0.020  # seconds
RATE = 8000  # samples a second
OVERHEAD = 186  # bytes of the file of a room besides its 16-bit samples (12)
CALL_OVERHEAD = 44  # of that of a call (42)
PUT_SECONDS = 30.0
# A period of the tone, for one channel.
WAVE = struct.pack("<8h", 0, 700, 1000, 700, 0, -700, -1000, -700)


class Recording:
    """A file being recorded. `seconds` is what was recorded before it last paused."""

    def __init__(self, path: str, now: float, channels: int = 1, overhead: int = OVERHEAD) -> None:
        self.path = path
        self.begun = now
        self.since: float | None = now
        self.seconds = 0.0
        self.channels = channels
        self.overhead = overhead

    @property
    def paused(self) -> bool:
        return self.since is None

    def pause(self, now: float) -> None:
        if self.since is not None:
            self.seconds += now - self.since
            self.since = None

    def resume(self, now: float) -> None:
        if self.since is None:
            self.since = now

    def samples(self, now: float) -> int:
        """Of one channel, once it has ended."""
        self.pause(now)
        return (math.floor(self.seconds / TICK) + 1) * round(TICK * RATE)

    def file(self, now: float, *, whole: bool = True) -> bytes:
        """If it is not `whole`, the node was killed before it could write how long it is."""
        data = (WAVE * (self.samples(now) // 8 + 1))[: self.samples(now) * 2]
        return wav(data * self.channels, self.channels, self.overhead, whole=whole)


def wav(data: bytes, channels: int, overhead: int, *, whole: bool) -> bytes:
    """With so many bytes before the samples, 44 at least."""
    note = b"LIST" + struct.pack("<I", overhead - 52) + bytes(overhead - 52) if overhead > CALL_OVERHEAD else b""
    size = len(data) if whole else 0
    frame = 2 * channels
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, RATE, RATE * frame, frame, 16)
    body = b"WAVE" + form + note + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", len(body) + size) + body + data


def put(url: str, data: bytes) -> int:
    """Send a file as mod_http_cache does. The status of the response, 0 without one."""
    request = urllib.request.Request(url, data, {"Content-Type": "application/octet-stream"}, method="PUT")  # noqa: S310
    try:
        with (
            gevent.Timeout(PUT_SECONDS, TimeoutError),
            urllib.request.urlopen(request, timeout=PUT_SECONDS) as response,  # noqa: S310
        ):
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, HTTPException, ValueError):
        return 0
