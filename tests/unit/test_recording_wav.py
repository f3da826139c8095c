"""The head of a WAV whose node was killed."""

from __future__ import annotations

import io
import struct
import wave

import pytest

from controller.recordings.wav import MAX_CHUNKS_BEHIND, mend

RATE = 8000
SOUND = b"\x00\x10\x00\xf0" * (RATE // 2)  # a second of 16-bit samples


def recorded(sound: bytes = SOUND, channels: int = 1) -> bytearray:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(2)
        written.setframerate(RATE)
        written.writeframes(sound)
    return bytearray(file.getvalue())


def with_texts(data: bytes) -> bytes:
    """As a node writes it: with what it is called behind the format."""
    texts = b"INFOISFT\x0c\x00\x00\x00FreeSWITCH\0\0"
    chunk = b"LIST" + struct.pack("<I", len(texts)) + texts
    head = data[:4] + struct.pack("<I", len(data) - 8 + len(chunk)) + data[8:36]
    return head + chunk + data[36:]


def read(data: bytes) -> bytes:
    with wave.open(io.BytesIO(data)) as sound:
        return sound.readframes(sound.getnframes())


def mended(data: bytes) -> tuple[int | None, bytes]:
    file = io.BytesIO(data)
    return mend(file), file.getvalue()


@pytest.mark.parametrize("form", [bytes, with_texts])
def test_a_whole_file_stays_as_it_is(form) -> None:  # type: ignore[no-untyped-def]
    data = form(recorded())
    assert mended(data) == (1000, data)


def test_a_stereo_file_plays_for_as_long_as_both_sides_do() -> None:
    assert mended(bytes(recorded(SOUND, channels=2)))[0] == 500


@pytest.mark.parametrize("form", [bytes, with_texts])
@pytest.mark.parametrize("claimed", [0, 4, 8000, 0xFFFFFFFF, len(SOUND) + 2])
@pytest.mark.parametrize("sound", [SOUND, bytes(len(SOUND)), b"data" * (len(SOUND) // 4)])
def test_a_head_that_tells_another_length_is_mended(form, claimed: int, sound: bytes) -> None:  # type: ignore[no-untyped-def]
    data = bytearray(form(recorded(sound)))
    whole = bytes(data)
    at = data.rindex(b"data" + struct.pack("<I", len(sound)))
    data[4:8], data[at + 4 : at + 8] = bytes(4), struct.pack("<I", claimed)
    assert mended(bytes(data)) == (1000, whole)


def test_half_a_sample_at_the_end_does_not_count() -> None:
    data = recorded()
    data[40:44] = bytes(4)
    length, found = mended(bytes(data + b"\x01"))
    assert length == 1000
    assert read(found) == SOUND


def test_what_follows_the_sound_stays() -> None:
    data = recorded() + b"LIST\x04\x00\x00\x00INFO"
    data[4:8] = struct.pack("<I", len(data) - 8)
    assert mended(bytes(data)) == (1000, bytes(data))


@pytest.mark.parametrize(("more", "is_sound"), [(0, False), (1, True)])
def test_chunks_without_end_are_sound(more: int, is_sound: bool) -> None:
    chunks = b"    \0\0\0\0" * (MAX_CHUNKS_BEHIND + more)
    data = recorded() + chunks
    data[4:8] = struct.pack("<I", len(data) - 8)
    assert mended(bytes(data))[0] == 1000 + is_sound * len(chunks) * 1000 // (2 * RATE)


def test_a_file_without_sound_plays_for_no_time() -> None:
    assert mended(bytes(recorded(b"")))[0] == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"<html>",
        bytes(100),
        bytes(recorded()[:36]),
        bytes(recorded()).replace(b"fmt ", b"fmt_"),
        bytes(recorded()).replace(struct.pack("<IH", 16000, 2), struct.pack("<IH", 0, 2)),
        bytes(recorded()).replace(struct.pack("<IH", 16000, 2), struct.pack("<IH", 16000, 0)),
        b"RIFF\xff\xff\xff\xffWAVE" + b"LIST\xff\xff\xff\xff" + bytes(100),
    ],
)
def test_what_is_no_wav_is_left_alone(data: bytes) -> None:
    assert mended(data) == (None, data)
