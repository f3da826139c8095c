"""Where played sounds come from, and how long they are.

The node plays what it can fetch: a file on its disk, a generated tone or silence, or an `http(s)` URL, which it gets
and keeps. Only the length of a sound matters here, never its samples.
"""

import re
import struct
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Protocol

import gevent

BITS_PER_BYTE = 8
MP3_BITS_PER_SECOND = 128_000  # assumed when no frame header says


@dataclass(frozen=True)
class Sound:
    """A playable sound: its length and how long the node takes to download it (both seconds), its rate in samples/s."""

    duration: float
    download_seconds: float = 0.0
    rate: int = 8000


class Media(Protocol):
    """`fetch` returns None for what cannot be played. It may block the calling greenlet, as a download does."""

    def fetch(self, url: str) -> Sound | None: ...


GENERATED = re.compile(r"(?:silence_stream://|tone_stream://%\()(\d+)")


def generated(url: str) -> Sound | None:
    """The sounds FreeSWITCH makes itself: `silence_stream://MS` and `tone_stream://%(MS,...)`."""
    found = GENERATED.match(url)
    return Sound(int(found[1]) / 1000) if found else None


class StaticMedia:
    """A fixed table of sounds by URL. Nothing is fetched; `Sound.download_seconds` passes on the node's clock."""

    def __init__(self, sounds: Mapping[str, Sound]) -> None:
        self.sounds = dict(sounds)

    def fetch(self, url: str) -> Sound | None:
        return self.sounds.get(url) or generated(url)


class HttpMedia:
    """What a real node can reach: URLs, cached by URL, and files by absolute path.

    As there, a sound must say what it is: behind the last dot of its URL or else in its Content-Type.
    """

    def __init__(self, timeout: float = 30.0, max_bytes: int = 64 * 1024 * 1024) -> None:
        self.timeout = timeout
        self.max_bytes = max_bytes
        self._cache: dict[str, Sound] = {}

    def fetch(self, url: str) -> Sound | None:
        if url not in self._cache:
            sound = generated(url) or self._read(url)
            if sound is None:
                return None
            self._cache[url] = sound
        return self._cache[url]

    def _read(self, url: str) -> Sound | None:
        try:
            with gevent.Timeout(self.timeout, TimeoutError):
                data, kind = self._download(url) if url.startswith(("http://", "https://")) else self._load(url)
        except (OSError, HTTPException, ValueError):
            return None
        return MEASURES[kind](data) if kind in MEASURES else None

    def _download(self, url: str) -> tuple[bytes, str]:
        with urllib.request.urlopen(url, timeout=self.timeout) as response:  # noqa: S310 (the caller checks the scheme)
            kind = extension(url) or KINDS.get(response.headers.get_content_type(), "")
            return self._limited(response.read(self.max_bytes + 1)), kind

    def _load(self, path: str) -> tuple[bytes, str]:
        with Path(path).open("rb") as file:
            return self._limited(file.read(self.max_bytes + 1)), extension(path)

    def _limited(self, data: bytes) -> bytes:
        if len(data) > self.max_bytes:
            raise ValueError(f"more than {self.max_bytes} bytes")
        return data


def extension(url: str) -> str:
    """As `mod_http_cache` finds it: behind the last dot after the last slash, up to a `?` or `#`."""
    name = url.rpartition("/")[2]
    _, dot, behind = name.rpartition(".")
    return re.split(r"[?#]", behind)[0] if dot else ""


def list_of(url: str) -> list[str]:
    """The names of a list of files that are played as one, `file_string://A!B`; empty for any other file."""
    scheme, _, names = url.partition("://")
    return names.split("!") if scheme == "file_string" else []


def measure(data: bytes) -> Sound | None:
    """The length of a WAV or MP3 file from its bytes; None if it is neither."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _measure_wav(data)
    return _measure_mp3(data)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _measure_wav(data: bytes) -> Sound | None:
    """Any coding, PCM or companded: length is the data's size over the header's bytes a second."""
    chunks = dict(_chunks(data))
    if len(chunks.get(b"fmt ", b"")) < 16:
        return None
    rate, bytes_per_second = struct.unpack_from("<II", chunks[b"fmt "], 4)
    if not rate or not bytes_per_second:
        return None
    return Sound(len(chunks.get(b"data", b"")) / bytes_per_second, rate=rate)


# Layer III of MPEG 1, and of the lower rates that MPEG 2 and 2.5 added: by the two bits in which they differ.
MP3_KBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _measure_mp3(data: bytes) -> Sound | None:
    """An estimate: size over the bit rate of the first frame, as for a constant bit rate."""
    if data[:3] != b"ID3" and not (data[:1] == b"\xff" and data[1:2] >= b"\xe0"):
        return None
    for frame in re.finditer(rb"\xff([\xe2\xe3\xf2\xf3\xfa\xfb])([\x10-\xef])", data):
        version, code = frame[1][0] >> 3 & 3, frame[2][0]
        if code >> 2 & 3 != 3:
            kbits = MP3_KBITS[version or 2][code >> 4]
            return Sound(len(data) * BITS_PER_BYTE / (kbits * 1000), rate=MP3_RATES[version][code >> 2 & 3])
    return Sound(len(data) * BITS_PER_BYTE / MP3_BITS_PER_SECOND, rate=44100)


MEASURES: dict[str, Callable[[bytes], Sound | None]] = {"wav": measure, "mp3": _measure_mp3}
KINDS = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/x-mp3": "mp3",
}
