"""Decoding in child processes: what goes out, whose turn it is, and what happens when a process is lost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from controller.media.decoders import DecodeLimits, Decoders
from controller.media.reasons import AudioFailed
from tests.audio import decode, encode, tone


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(DecodeLimits(max_seconds=600))
    decoders.start()
    yield decoders
    decoders.stop(5)


def test_a_file_at_the_rate_is_left_as_it_is(decoders: Decoders) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32767, (8000, 1), np.int16, endpoint=True)
    decoded = decode(decoders, encode(samples, 8000))
    assert decoded.frames == 8000
    assert (decoded.samples * 32768 == samples[:, 0]).all()


def test_channels_are_mixed_by_their_mean(decoders: Decoders) -> None:
    samples = np.full((8000, 3), (0.5, 0.25, 0.0))
    assert decode(decoders, encode(samples, 8000)).samples == pytest.approx(0.25, abs=1e-4)


def test_progress_says_the_length_first_and_then_what_can_be_read(decoders: Decoders) -> None:
    decoded = decode(decoders, encode(tone(60, 44100, 2), 44100))
    assert decoded.progress[0] == (480_000, 0)
    written = [frames for _, frames in decoded.progress]
    assert written == sorted(written)
    assert 0 < written[1] <= 5 * 8000


def test_what_is_no_audio_is_refused(decoders: Decoders) -> None:
    with pytest.raises(AudioFailed) as failed:
        decode(decoders, b"<html>not found</html>")
    assert failed.value.reason == "not_audio"
