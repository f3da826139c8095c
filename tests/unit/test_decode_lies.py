"""Files that are not what they say. Whatever comes of one, the next is decoded."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from controller.media.decoders import DecodeLimits, Decoders
from controller.media.reasons import AudioFailed
from tests.audio import BLOCK, decode, encode, tone

SECONDS = 3
WHOLE = SECONDS * 8000

WAV = encode(tone(SECONDS, 8000), 8000)
IMA = encode(tone(SECONDS, 8000), 8000, "WAV", "IMA_ADPCM")
MS = encode(tone(SECONDS, 8000), 8000, "WAV", "MS_ADPCM")
FLAC = encode(tone(SECONDS, 44100, 2), 44100, "FLAC")
VORBIS = encode(tone(SECONDS, 44100, 2), 44100, "OGG", "VORBIS")
OPUS = encode(tone(SECONDS, 48000, 2), 48000, "OGG", "OPUS")
MP3 = encode(tone(SECONDS, 44100, 2), 44100, "MP3")
AIFF = encode(tone(SECONDS, 8000), 8000, "AIFF")
CAF = encode(tone(SECONDS, 8000), 8000, "CAF")
ALAC = encode(tone(SECONDS, 8000), 8000, "CAF", "ALAC_16")
AU = encode(tone(SECONDS, 8000), 8000, "AU")
W64 = encode(tone(SECONDS, 8000), 8000, "W64")
RF64 = encode(tone(SECONDS, 8000), 8000, "RF64")


def put(data: bytes, at: int, form: str, *values: float) -> bytes:
    changed = bytearray(data)
    struct.pack_into(form, changed, at, *values)
    return bytes(changed)


def flac_frames(frames: int) -> bytes:
    """Its last 36 bits of eight bytes."""
    (old,) = struct.unpack_from(">Q", FLAC, 18)
    return put(FLAC, 18, ">Q", old >> 36 << 36 | frames)


def ogg_frames(data: bytes, frames: int) -> bytes:
    """What the last page says, with that page's checksum made right."""
    at = data.rindex(b"OggS")
    page = put(put(data[at:], 6, "<Q", frames), 22, "<I", 0)
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = checksum << 1 ^ (0x104C11DB7 if checksum & 0x80000000 else 0)
    return data[:at] + put(page, 22, "<I", checksum)


def long_silence(container: str, subtype: str, rate: int, seconds: int) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, format=container, subtype=subtype) as sound:
        block = np.zeros(BLOCK)
        for _ in range(seconds * rate // BLOCK):
            sound.write(block)
    return file.getvalue()


# Name -> the file, and what comes of it: a number of frames at 8 kHz, or a reason.
LIES: dict[str, tuple[bytes, int | str]] = {
    "WAV, 0 channels": (put(WAV, 22, "<H", 0), "not_audio"),
    "WAV, 256 channels": (put(WAV, 22, "<H", 256), WHOLE // 256),
    "WAV, 256 channels, and blocks to match": (put(put(WAV, 22, "<H", 256), 32, "<H", 512), WHOLE // 256),
    "WAV, 1024 channels": (put(WAV, 22, "<H", 1024), WHOLE // 1024),
    "WAV, 65535 channels": (put(WAV, 22, "<H", 65535), "not_audio"),
    "WAV, rate 0": (put(WAV, 24, "<I", 0), "not_audio"),
    "WAV, rate 1": (put(WAV, 24, "<I", 1), "not_audio"),
    "WAV, rate 192,001": (put(WAV, 24, "<I", 192_001), "not_audio"),
    "WAV, rate 2 GHz": (put(WAV, 24, "<I", 2**31 - 1), "not_audio"),
    "WAV, rate 4 GHz": (put(WAV, 24, "<I", 4_000_000_000), "not_audio"),
    "WAV, data without end": (put(WAV, 40, "<I", 0xFFFFFFFF), WHOLE),
    "WAV, no data": (put(WAV, 40, "<I", 0), "not_audio"),
    "WAV, less data than there is": (put(WAV, 40, "<I", 1000), 500),
    "WAV, more data than there is": (put(WAV, 40, "<I", 10**6), WHOLE),
    "WAV, block align 0": (put(WAV, 32, "<H", 0), WHOLE),
    "WAV, 0 bits": (put(WAV, 34, "<H", 0), "not_audio"),
    "WAV, 255 bits": (put(WAV, 34, "<H", 255), "not_audio"),
    "WAV, unknown codec": (put(WAV, 20, "<H", 0x1234), "not_audio"),
    "WAV, cut": (WAV[:24_044], WHOLE // 2),
    "WAV, only the header": (WAV[:44], "not_audio"),
    "WAV, no header but its beginning": (WAV[:12], "not_audio"),
    "IMA ADPCM, block align 0": (put(IMA, 32, "<H", 0), "not_audio"),
    "IMA ADPCM, block align 65535": (put(IMA, 32, "<H", 65535), "not_audio"),
    "MS ADPCM, block align 0": (put(MS, 32, "<H", 0), "not_audio"),
    "MS ADPCM, 65535 samples a block": (put(MS, 38, "<H", 65535), "not_audio"),
    "FLAC, length unknown": (flac_frames(0), WHOLE),
    "FLAC, longer than it is": (flac_frames(44100 * 600), WHOLE),
    "FLAC, absurdly long": (flac_frames(2**36 - 1), "too_long"),
    "FLAC, cut": (FLAC[: len(FLAC) // 2], 11_889),
    "FLAC, only the header": (FLAC[:42], "not_audio"),
    "Vorbis, longer than it is": (ogg_frames(VORBIS, 44100 * 600), 24_067),
    "Vorbis, absurdly long": (ogg_frames(VORBIS, 2**62), "too_long"),
    "Vorbis, of no length": (ogg_frames(VORBIS, 0), "not_audio"),
    "Vorbis, only the header": (VORBIS[:2000], "not_audio"),
    "Opus, absurdly long": (ogg_frames(OPUS, 2**62), "too_long"),
    "Opus, cut": (OPUS[: len(OPUS) // 2], 7_788),
    "MP3, longer than it is": (put(MP3, 44, ">I", 10_000), 24_041),
    "MP3, absurdly long": (put(MP3, 44, ">I", 0xFFFFFFFF), "too_long"),
    "MP3, cut": (MP3[: len(MP3) // 2], 10_875),
    "MP3, a tag longer than the file": (b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + MP3, "not_audio"),
    "AIFF, absurdly long": (put(AIFF, AIFF.index(b"COMM") + 10, ">I", 0xFFFFFFFF), WHOLE),
    "AIFF, 65535 channels": (put(AIFF, AIFF.index(b"COMM") + 8, ">H", 65535), "not_audio"),
    "AIFF, 0 bits": (put(AIFF, AIFF.index(b"COMM") + 14, ">H", 0), "not_audio"),
    "CAF, absurdly long": (put(CAF, CAF.index(b"data") + 4, ">Q", 2**62), "not_audio"),
    "CAF, a rate that is no number": (put(CAF, CAF.index(b"desc") + 12, ">d", float("nan")), "not_audio"),
    "CAF, 4 G channels": (put(CAF, CAF.index(b"desc") + 36, ">I", 2**32 - 1), "not_audio"),
    "ALAC, absurdly many packets": (put(ALAC, ALAC.index(b"pakt") + 12, ">Q", 2**62), WHOLE),
    "AU, data without end": (put(AU, 8, ">I", 0xFFFFFFFF), WHOLE),
    "AU, absurdly long": (put(AU, 8, ">I", 0xFFFFFFFE), "not_audio"),
    "W64, cut": (W64[: len(W64) // 2], 11_974),
    "RF64, cut": (RF64[: len(RF64) // 2], 11_974),
    "hours of FLAC that say so": (long_silence("FLAC", "PCM_16", 8000, 7200), "too_long"),
    "hours of Opus": (long_silence("OGG", "OPUS", 8000, 3700), "too_long"),
    "no samples": (encode(np.zeros((0, 1)), 8000), "not_audio"),
    "nothing": (b"", "not_audio"),
    "zeros": (bytes(100_000), "not_audio"),
    "HTML": (b"<!DOCTYPE html><html><body>Not found</body></html>" * 50, "not_audio"),
    "a program": (Path(sys.executable).read_bytes()[:100_000], "not_audio"),
}  # fmt: skip


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(DecodeLimits(seconds=30))
    decoders.start()
    yield decoders
    assert decode(decoders, WAV).frames == WHOLE
    decoders.stop(5)


@pytest.mark.parametrize("lie", LIES)
def test_lie(decoders: Decoders, lie: str) -> None:
    data, expected = LIES[lie]
    if isinstance(expected, int):
        assert decode(decoders, data).frames == pytest.approx(expected, abs=1)
    else:
        with pytest.raises(AudioFailed) as failed:
            decode(decoders, data)
        assert failed.value.reason == expected


def test_hours_that_say_nothing_of_their_length_end_at_the_limit() -> None:
    hours = bytearray(long_silence("FLAC", "PCM_16", 8000, 1200))
    hours[21:26] = bytes([hours[21] & 0xF0, 0, 0, 0, 0])
    decoders = Decoders(DecodeLimits(max_seconds=600))
    decoders.start()
    with pytest.raises(AudioFailed) as failed:
        decode(decoders, bytes(hours))
    decoders.stop(5)
    assert failed.value.reason == "too_long"
