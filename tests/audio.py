"""Sound files for tests: made by libsndfile, and decoded by the real decoders."""

from __future__ import annotations

import io
import math
import tempfile
from dataclasses import dataclass, field

import numpy as np
import soundfile

from controller.media.decoders import Decoders

BLOCK = 4096  # frames; libsndfile crashes when it encodes too many at once


def tone(seconds: float, rate: int, channels: int = 1, hertz: float = 440, amplitude: float = 0.5) -> np.ndarray:
    """The same in all channels; a row a frame."""
    frames = np.arange(int(seconds * rate))
    return np.repeat((amplitude * np.sin(2 * np.pi * hertz * frames / rate))[:, None], channels, axis=1)


def encode(
    samples: np.ndarray, rate: int, container: str = "WAV", subtype: str | None = None, **options: object
) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, samples.shape[1], format=container, subtype=subtype, **options) as sound:
        for at in range(0, len(samples), BLOCK):
            sound.write(samples[at : at + BLOCK])
    return file.getvalue()


def level(samples: np.ndarray) -> float:
    """In dB of full scale, without the first and last tenth, where codecs begin and end."""
    tenth = len(samples) // 10
    return 20 * math.log10(max(1e-9, float(np.sqrt(np.mean(np.square(samples[tenth:-tenth]))))))


@dataclass
class Decoded:
    frames: int
    samples: np.ndarray
    """-1 to 1"""
    progress: list[tuple[int, int]] = field(default_factory=list)

    @property
    def level(self) -> float:
        return level(self.samples)


def decode(decoders: Decoders, data: bytes, rate: int = 8000, app_id: str = "app") -> Decoded:
    """Raises what `Decoders.decode` raises."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output:
        source.write(data)
        source.flush()
        progress: list[tuple[int, int]] = []

        def note(claimed: int, written: int) -> None:
            progress.append((claimed, written))

        frames = decoders.decode(app_id, source, output, rate, note)
        output.seek(0)
        return Decoded(frames, np.frombuffer(output.read(), "<i2") / 32768, progress)
