"""Real files of each format that libsndfile takes: whole, as loud as they were, at both ends of a conference's rates."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from controller.media.decoders import DecodeLimits, Decoders
from tests.audio import Decoded, decode, encode, level, tone

SECONDS = 3
TONE_MP3 = Path(__file__).parents[1] / "e2e" / "tone.mp3"
# Container, subtype, rate, channels.
FILES = [
    *(
        ("WAV", subtype, 44100, 2)
        for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")
    ),
    ("WAV", "GSM610", 8000, 1),
    *(("WAV", "PCM_16", rate, 1) for rate in (8000, 11025, 12000, 16000, 22050, 24000, 32000, 48000, 88200, 96000, 192000)),
    *(("WAV", "PCM_16", 48000, channels) for channels in (1, 6, 8)),
    ("WAVEX", "PCM_24", 48000, 6),
    ("RF64", "PCM_16", 44100, 2),
    ("W64", "PCM_16", 44100, 2),
    ("AIFF", "PCM_16", 44100, 2),
    ("AIFF", "PCM_24", 96000, 1),
    ("AU", "ULAW", 8000, 1),
    ("AU", "G721_32", 8000, 1),
    ("CAF", "PCM_16", 44100, 2),
    ("CAF", "ALAC_16", 44100, 2),
    ("FLAC", "PCM_16", 44100, 2),
    ("FLAC", "PCM_24", 192000, 1),
    ("FLAC", "PCM_16", 48000, 8),
    ("OGG", "VORBIS", 44100, 2),
    ("OGG", "VORBIS", 8000, 1),
    ("OGG", "OPUS", 48000, 2),
    ("OGG", "OPUS", 8000, 1),
    ("MP3", "MPEG_LAYER_III", 44100, 2),
    ("MP3", "MPEG_LAYER_III", 44100, 1),
    ("MP3", "MPEG_LAYER_III", 16000, 1),
]  # fmt: skip


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(DecodeLimits())
    decoders.start()
    yield decoders
    decoders.stop(5)


def own(data: bytes) -> tuple[float, float]:
    """Seconds and level of a file's own samples, mixed to one channel."""
    samples, rate = soundfile.read(io.BytesIO(data), always_2d=True)
    return len(samples) / rate, level(samples.mean(axis=1))


def peak(decoded: Decoded, rate: int) -> float:
    """The loudest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(decoded.samples * np.hanning(len(decoded.samples))))
    return float(np.argmax(spectrum)) * rate / len(decoded.samples)


@pytest.mark.parametrize("rate", [8000, 48000])
@pytest.mark.parametrize(("container", "subtype", "file_rate", "channels"), FILES)
def test_whole_and_as_loud(
    decoders: Decoders, container: str, subtype: str, file_rate: int, channels: int, rate: int
) -> None:
    data = encode(tone(SECONDS, file_rate, channels), file_rate, container, subtype)
    decoded = decode(decoders, data, rate)
    seconds, loudness = own(data)
    assert decoded.frames / rate == pytest.approx(seconds, abs=0.001)
    assert seconds == pytest.approx(SECONDS, abs=0.05)  # codecs fill their last block
    assert decoded.level == pytest.approx(loudness, abs=0.1)
    assert peak(decoded, rate) == pytest.approx(440, abs=1)
    assert decoded.progress[0] == (pytest.approx(decoded.frames, abs=2), 0)


@pytest.mark.parametrize("rate", [8000, 48000])
@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
def test_mp3_of_any_bit_rate(decoders: Decoders, mode: str, rate: int) -> None:
    data = encode(tone(SECONDS, 44100, 2), 44100, "MP3", bitrate_mode=mode)
    decoded = decode(decoders, data, rate)
    assert decoded.frames == SECONDS * rate
    assert decoded.level == pytest.approx(own(data)[1], abs=0.1)


def test_mp3_with_tags(decoders: Decoders) -> None:
    mp3 = encode(tone(SECONDS, 44100, 2), 44100, "MP3")
    text = b"TIT2" + struct.pack(">IH", 6, 0) + b"\x03title"
    tag = b"ID3\x04\0\0" + bytes([0, 0, (len(text) + 1000) >> 7, (len(text) + 1000) & 127]) + text + bytes(1000)
    assert decode(decoders, tag + mp3 + b"TAG" + bytes(125)).frames == SECONDS * 8000


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_mp3_that_the_sound_tests_play(decoders: Decoders, rate: int) -> None:
    data = TONE_MP3.read_bytes()
    decoded = decode(decoders, data, rate)
    seconds, loudness = own(data)
    assert decoded.frames / rate == pytest.approx(seconds, abs=0.001)
    assert decoded.level == pytest.approx(loudness, abs=0.1)


@pytest.mark.parametrize(
    ("container", "endian"), [("WAV", "LITTLE"), ("WAV", "BIG"), ("AIFF", "BIG"), ("FLAC", "FILE")]
)
@pytest.mark.parametrize("channels", [1, 2, 4, 8])
def test_16_bits_stay_what_they_are(decoders: Decoders, container: str, endian: str, channels: int) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32767, (50_000, channels), np.int16, endpoint=True)
    samples[0], samples[1] = -32768, 32767
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, "PCM_16", endian, container)
    decoded = decode(decoders, file.getvalue(), 8000)
    assert np.array_equal(decoded.samples * 32768, samples.mean(axis=1).round())


@pytest.mark.parametrize("file_rate", [8000, 44100])
@pytest.mark.parametrize("hertz", [300, 1000, 3000, 3400])
def test_speech_is_as_loud_at_every_frequency(decoders: Decoders, file_rate: int, hertz: int) -> None:
    data = encode(tone(1, file_rate, hertz=hertz), file_rate)
    for rate in (8000, 16000, 48000):
        assert decode(decoders, data, rate).level == pytest.approx(own(data)[1], abs=0.1)


@pytest.mark.parametrize("hertz", [4500, 5000, 7900, 12000, 20000])
def test_what_the_rate_cannot_hold_is_left_out(decoders: Decoders, hertz: int) -> None:
    data = encode(tone(1, 44100, hertz=hertz), 44100)
    # Below what 16 bits can say: nothing comes back at another frequency.
    assert decode(decoders, data, 8000).level < -90


def test_blocks_join_without_a_seam(decoders: Decoders) -> None:
    """Decoders and resampler go on from block to block: a tone has no step anywhere."""
    for container, subtype in (("WAV", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS")):
        samples = decode(decoders, encode(tone(20, 48000, hertz=100), 48000, container, subtype), 48000).samples
        steps = np.abs(np.diff(samples[4800:-4800]))
        assert steps.max() < 0.5 * 2 * np.pi * 100 / 48000 * 1.2, subtype
