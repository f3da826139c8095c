"""The recordings that a relay keeps, on disk: a file each, and the id of the folder.

    holder         the folder's id, by which the store knows who has a recording
    ID.wav         a recording
    ID.RANDOM.part what is not finished yet

Any number of processes may share a folder, and each may be killed at any point: what is a recording got its name once
it was on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import gevent
from gevent.threadpool import ThreadPool

from controller.ids import RECORDING_ID
from controller.recordings.wav import mend

CHUNK_BYTES = 64 * 1024
# That the disk keeps free: the store may be on it, too.
MIN_FREE_BYTES = 64 << 20
MAX_THREADS = 4

_OURS = re.compile(rf"({RECORDING_ID.pattern})(\.wav|\.[0-9a-f]+\.part)")


class NotRecording(Exception):
    """What a node sent is no WAV."""


@dataclass(frozen=True, slots=True)
class Received:
    """`size`: bytes of the file, `length_ms`: for how long it plays."""

    size: int
    length_ms: int


class Folder:
    """`holder`: its id. `clock`: epoch seconds. Whatever reads or writes may raise OSError."""

    def __init__(self, path: Path, *, min_free: int = MIN_FREE_BYTES, clock: Callable[[], float] = time.time) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._min_free = min_free
        self._clock = clock
        self._threads = ThreadPool(MAX_THREADS)
        self.holder = self._id()

    def receive(self, recording_id: str, size: int, read: Callable[[int], bytes]) -> Received:
        """Keeps a file of so many bytes, which `read` returns piece by piece. Once this returns, it is on the disk.
        One that is here already stays as it is: it may have been told of, and read.

        Raises NotRecording, OSError (of `read`, too), and then nothing is kept.
        """
        part = self._path / f"{recording_id}.{secrets.token_hex(8)}.part"
        try:
            with open(part, "xb+", opener=_private) as file:
                if not self._threads.spawn(self._reserve, file, size).get():
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                left = size
                while left:
                    data = read(min(CHUNK_BYTES, left))
                    if not data:
                        raise ConnectionError("the file ends too early")
                    file.write(data)
                    left -= len(data)
                    # What comes fast would keep all else in this process waiting.
                    gevent.sleep(0)
                length_ms = mend(file)
                if length_ms is None:
                    raise NotRecording
                file.flush()
                self._threads.spawn(os.fsync, file.fileno()).get()
            try:
                os.link(part, self._file(recording_id))
            except FileExistsError:
                size, length_ms = self._measure(recording_id)
            self._threads.spawn(_sync, self._path).get()
        finally:
            part.unlink(missing_ok=True)
        return Received(size, length_ms)

    def open(self, recording_id: str) -> BinaryIO | None:
        """To be read and closed, also when it is removed meanwhile; None if it is not here."""
        try:
            return open(self._file(recording_id), "rb")
        except FileNotFoundError:
            return None

    def remove(self, recording_id: str) -> None:
        self._file(recording_id).unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes of all that is here, approximately."""
        found = 0
        with os.scandir(self._path) as files:
            for file in files:
                with suppress(FileNotFoundError):
                    found += file.stat().st_size
        return found

    def old(self, seconds: float) -> list[str]:
        """The recordings that came so long ago, or before. What was begun then and is not finished is removed."""
        latest = self._clock() - seconds
        found = []
        with os.scandir(self._path) as files:
            for file in files:
                ours = _OURS.fullmatch(file.name)
                # It may be gone by now.
                with suppress(FileNotFoundError):
                    if ours is None or file.stat().st_mtime > latest:
                        continue
                    if ours[2] == ".wav":
                        found.append(ours[1])
                    else:
                        os.unlink(file)
        return found

    def _reserve(self, file: BinaryIO, size: int) -> bool:
        """Has the disk give a file its room. Returns whether enough stays free. One file at a time in all processes:
        each would see room that another is about to take.
        """
        # Should nobody wait for this any more, `file` is closed meanwhile.
        fd = os.dup(file.fileno())
        try:
            with open(self._path / "holder") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if shutil.disk_usage(self._path).free - size < self._min_free:
                    return False
                os.posix_fallocate(fd, 0, size)
                return True
        finally:
            os.close(fd)

    def _measure(self, recording_id: str) -> tuple[int, int]:
        """How large a recording is that is here, and for how many ms it plays."""
        with open(self._file(recording_id), "rb+") as file:
            # Its head was mended, so it stays so.
            return file.seek(0, os.SEEK_END), mend(file) or 0

    def _file(self, recording_id: str) -> Path:
        return self._path / f"{recording_id}.wav"

    def _id(self) -> str:
        """Made by the first process that asks."""
        path = self._path / "holder"
        if not path.exists():
            new = self._path / f"holder.{secrets.token_hex(8)}"
            with open(new, "x", opener=_private) as file:
                file.write(secrets.token_hex(16))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(new, path)
            new.unlink()
        return path.read_text()


def _sync(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
