"""Has broken sound files decoded: `python -m tests.fuzz.fuzz_audio [--count N] [--seed S] [--first N] [--keep FOLDER]`.

Small files of every format that libsndfile writes are flipped, cut, spliced, and filled with numbers that make no sense.
A file may be decoded or refused, and its child may crash. The rest must go on: no template is lost, no job takes longer
than its limits allow, and what is said to be decoded is there. File N of a seed is the same each time.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import argparse
import os
import resource
import signal
import struct
import sys
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import gevent
import soundfile
import structlog

from controller.media.decoders import GRACE_SECONDS, DecodeLimits, Decoders
from controller.media.reasons import AudioFailed
from tests.audio import encode, tone

WORKERS = 2
LIMITS = DecodeLimits(max_seconds=60, seconds=10, cpu_seconds=5)
RATES = (8000, 16000, 48000)  # that conferences have
HEADER_BYTES = 128
ABSURD = (
    0,
    1,
    2,
    3,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
WIDTHS = {"B": 1, "H": 2, "I": 4, "Q": 8}


def seeds() -> list[bytes]:
    """A short file of each kind."""
    files = []
    # SD2 keeps half of a file in another, and would write it here. RAW has no header.
    for container in sorted(soundfile.available_formats().keys() - {"RAW", "SD2"}):
        for subtype in soundfile.available_subtypes(container):
            for rate, channels in ((8000, 1), (48000, 2)):
                # Some can be read only, or not have so many channels.
                with suppress(soundfile.SoundFileError, ValueError):
                    files.append(encode(tone(0.15, rate, channels), rate, container, subtype))
    return files


def flip(data: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 1, 3, 20))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def lie(data: bytearray, random: Random) -> None:
    """A number in the header, of any width, in either order of bytes."""
    form = random.choice("BHIQ")
    at = random.randrange(max(1, min(HEADER_BYTES, len(data)) - WIDTHS[form]))
    number = random.choice((*ABSURD, random.getrandbits(64))) & ((1 << 8 * WIDTHS[form]) - 1)
    if at + WIDTHS[form] <= len(data):
        struct.pack_into(random.choice("<>") + form, data, at, number)


def cut(data: bytearray, random: Random) -> None:
    first, second = sorted(random.randrange(len(data) + 1) for _ in range(2))
    del data[random.choice((first, second)) : second]


def end(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def repeat(data: bytearray, random: Random) -> None:
    first, second = sorted(random.randrange(len(data) + 1) for _ in range(2))
    data[second:second] = data[first:second] * random.choice((1, 1, 2, 10))


def splice(data: bytearray, random: Random) -> None:
    other = random.choice(SEEDS)
    data[random.randrange(len(data)) :] = other[random.randrange(len(other)) :]


def blank(data: bytearray, random: Random) -> None:
    first, second = sorted(random.randrange(len(data) + 1) for _ in range(2))
    data[first:second] = bytes([random.choice((0, 0xFF, random.randrange(256)))]) * (second - first)


SEEDS = seeds()
MUTATIONS: tuple[Callable[[bytearray, Random], None], ...] = (flip, lie, lie, lie, cut, end, repeat, splice, blank)


def checksum_table() -> Iterator[int]:
    for byte in range(256):
        checksum = byte << 24
        for _ in range(8):
            checksum = checksum << 1 ^ (0x104C11DB7 if checksum & 0x80000000 else 0)
        yield checksum


CHECKSUMS = tuple(checksum_table())


def mend_ogg(data: bytearray) -> None:
    """Makes the checksums of Ogg's pages right, so that the codec sees what was broken."""
    at = data.find(b"OggS")
    while 0 <= at <= len(data) - 27:
        after = data.find(b"OggS", at + 4)
        page = data[at : after if after >= 0 else len(data)]
        page[22:26] = bytes(4)
        checksum = 0
        for byte in page:
            checksum = (checksum << 8 & 0xFFFFFFFF) ^ CHECKSUMS[checksum >> 24 ^ byte]
        data[at + 22 : at + 26] = checksum.to_bytes(4, "little")
        at = after


def broken(seed: int, number: int) -> tuple[bytes, int]:
    """The file, and the rate to decode it at."""
    random = Random(f"{seed}:{number}")
    data = bytearray(random.choice(SEEDS))
    for _ in range(random.randrange(1, 5)):
        random.choice(MUTATIONS)(data, random)
        data = data or bytearray(1)
    if data.startswith(b"OggS") and random.random() < 0.9:
        mend_ogg(data)
    return bytes(data), random.choice(RATES)


class Run:
    def __init__(self, count: int, seed: int, first: int, keep: Path | None) -> None:
        self._numbers = iter(range(first, first + count))
        self._seed = seed
        self._keep = keep
        self._decoders = Decoders(LIMITS, WORKERS)
        self.outcomes: Counter[str] = Counter()
        self.reasons = set[str]()
        self.signals: Counter[str] = Counter()
        self.slowest = (0.0, -1)
        self.max_rss = 0
        structlog.configure(processors=[self._note])

    def run(self) -> None:
        self._decoders.start()
        # An app each: they take turns.
        workers = [gevent.spawn(self._work, f"app-{number}") for number in range(WORKERS)]
        gevent.joinall(workers, raise_error=True)
        self._decoders.stop(5)
        self.max_rss = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss

    def _note(self, _logger: Any, _name: str, event: MutableMapping[str, Any]) -> Any:
        if event["event"] == "audio decoded":
            assert event["outcome"] not in ("lost", "unwritten"), event
            self.outcomes[event["outcome"]] += 1
            if event["outcome"] == "killed":
                exit_code = event["exit"]
                self.signals[signal.Signals(-exit_code).name if exit_code < 0 else f"exit {exit_code}"] += 1
        raise structlog.DropEvent

    def _work(self, app_id: str) -> None:
        for number in self._numbers:
            data, rate = broken(self._seed, number)
            killed = self.outcomes["killed"]
            source, output = os.memfd_create("source"), os.memfd_create("output")
            try:
                os.write(source, data)
                began = time.perf_counter()
                try:
                    frames = self._decoders.decode(app_id, source, output, rate, lambda *_: None)
                except AudioFailed as error:
                    self.reasons.add(error.reason)
                    if self._keep and self.outcomes["killed"] > killed:
                        (self._keep / f"killed-{number}").write_bytes(data)
                else:
                    assert 0 < frames * 2 == os.fstat(output).st_size <= LIMITS.max_seconds * rate * 2, number
                    if self._keep:
                        self._write(number, rate, os.pread(output, frames * 2, 0))
                self.slowest = max(self.slowest, (time.perf_counter() - began, number))
                assert self.slowest[0] < LIMITS.seconds + GRACE_SECONDS, number
            finally:
                os.close(source)
                os.close(output)

    def _write(self, number: int, rate: int, pcm: bytes) -> None:
        assert self._keep is not None
        with wave.open(str(self._keep / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(pcm)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--count", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--first", type=int, default=0, help="number of the first file, to see one again")
    options.add_argument("--keep", type=Path, help="a folder for what was decoded, as WAV, and for what killed a child")
    chosen = options.parse_args()
    if chosen.keep:
        chosen.keep.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    run = Run(chosen.count, chosen.seed, chosen.first, chosen.keep)
    run.run()
    seconds = time.monotonic() - began
    assert run.outcomes.total() == chosen.count
    assert run.reasons <= {"not_audio", "too_long"}, run.reasons
    print(
        f"{chosen.count:,} files of {len(SEEDS)} kinds in {seconds:.0f} s, {chosen.count / seconds:.0f} a second\n"
        f"outcomes: {dict(run.outcomes)}; killed by {dict(run.signals) or 'nothing'}\n"
        f"slowest {run.slowest[0]:.2f} s (file {run.slowest[1]}), largest child {run.max_rss >> 10} MiB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
