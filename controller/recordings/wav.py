"""The head of a WAV as a node leaves it. A node that was killed has not written how much sound there is. Pure."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

# What may stand before the sound: its format, and texts that a node adds.
MAX_HEAD_BYTES = 65536
# That may stand behind the sound. Whoever sends a file could have endless ones walked.
MAX_CHUNKS_BEHIND = 64
_MAX_SIZE = 0xFFFFFFFF
_CHUNK = struct.Struct("<4sI")


class _Head(NamedTuple):
    """`start`: of the sound, `claimed`: how many bytes it has by the head."""

    start: int
    claimed: int
    bytes_per_second: int
    block: int


def mend(file: BinaryIO) -> int | None:
    """Has the head of a WAV say how much sound there is. Returns for how many ms it plays, None if it is no WAV.
    Raises OSError.
    """
    size = file.seek(0, os.SEEK_END)
    head = _read(file)
    if head is None:
        return None
    length = head.claimed
    if not _ends_well(file, head, size):
        length = min((size - head.start) // head.block * head.block, _MAX_SIZE)
        _write(file, 4, min(size - 8, _MAX_SIZE))
        _write(file, head.start - 4, length)
    return length * 1000 // head.bytes_per_second


def _read(file: BinaryIO) -> _Head | None:
    file.seek(0)
    data = file.read(MAX_HEAD_BYTES)
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    at, bytes_per_second, block = 12, 0, 0
    while at + 8 <= len(data):
        name, size = _CHUNK.unpack_from(data, at)
        at += 8
        if name == b"fmt " and at + 14 <= len(data):
            bytes_per_second, block = struct.unpack_from("<IH", data, at + 8)
        if name == b"data":
            return _Head(at, size, bytes_per_second, block) if bytes_per_second and block else None
        at += size + size % 2
    return None


def _ends_well(file: BinaryIO, head: _Head, size: int) -> bool:
    """Whether the sound ends where its head says: at the end of the file, or there are chunks up to that."""
    at = head.start + head.claimed
    if at == size:
        return True
    at += head.claimed % 2
    for _ in range(MAX_CHUNKS_BEHIND):
        if at + 8 > size:
            break
        file.seek(at)
        name, length = _CHUNK.unpack(file.read(8))
        if not all(0x20 <= letter < 0x7F for letter in name):
            return False
        at += 8 + length + length % 2
    return at in (size, size + 1)


def _write(file: BinaryIO, at: int, size: int) -> None:
    file.seek(at)
    file.write(struct.pack("<I", size))
