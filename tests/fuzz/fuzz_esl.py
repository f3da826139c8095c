"""Throws broken byte streams at the Event Socket parser: `python -m tests.fuzz.fuzz_esl [--inputs N] [--seed S]`.

Recorded frames are cut, doubled, flipped and spliced, and fed in pieces. Nothing but ProtocolError may come out, no
input may take long, and the parser gives the same with its part in C, where that is built, as without.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from random import Random
from types import SimpleNamespace

from esl.errors import ProtocolError
from tests.benchmarks.bench_esl import recorded_events
from tests.unit.readers import IN_C, IN_PYTHON, IS_BUILT

SLOWEST_SECONDS = 1.0
NAMES = ("Event-Name", "Action", "Unique-ID", "File", "Job-UUID", "Content-Length", "")
PIECES = (
    b"\n", b"\r\n", b"\n\n", b": ", b"%", b"%0A", b"%zz", b"\0", b"\xff\xfe", b"Content-Length: ", b"Content-Length: 9999999\n",
    b"Content-Length: -1\n", b"Content-Type: text/event-plain\n\n", b"Content-Type: command/reply\n", b"Action: del-member\n",
)  # fmt: skip


def flip(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) or 1)
    return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]


def cut(data: bytes, random: Random) -> bytes:
    first, second = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return data[:first] + data[second:]


def repeat(data: bytes, random: Random) -> bytes:
    first, second = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return data[:second] + data[first:]


def insert(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(PIECES) + data[at:]


MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (flip, cut, repeat, insert)


def mutate(data: bytes, random: Random) -> bytes:
    for _ in range(random.randrange(1, 5)):
        data = random.choice(MUTATIONS)(data, random)
    return data


def cuts(data: bytes, random: Random) -> list[bytes]:
    pieces, at = [], 0
    while at < len(data):
        size = random.choice((1, 7, 100, 4096, 65536))
        pieces.append(data[at : at + size])
        at += size
    return pieces


def run(reader: SimpleNamespace, pieces: list[bytes]) -> list[tuple[object, ...]]:
    """Feed the pieces, and read what comes."""
    parser, frames = reader.FrameParser(), []
    try:
        for piece in pieces:
            for frame in parser.feed(piece):
                if isinstance(frame, reader.Event):
                    values = [frame.get(name) for name in NAMES]
                    frames.append((*values, frame.headers(), frame.body, frame.raw, repr(frame)))
                else:
                    frames.append((frame.get("Job-UUID"), frame.text, frame.body, repr(frame)))
    except ProtocolError as error:
        frames.append((str(error),))
    return frames


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--inputs", type=int, default=2_000_000)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    random = Random(chosen.seed)
    # Mostly short ones, for the number of inputs, and some in a row.
    short = sorted(recorded_events(), key=len)[:60]
    seeds = [*short, short[0] + short[1] + short[2], recorded_events()[0]]
    slowest, frames, began = 0.0, 0, time.monotonic()
    for _ in range(chosen.inputs):
        data = mutate(random.choice(seeds), random)
        pieces = cuts(data, random)
        started = time.perf_counter()
        found = run(IN_PYTHON, pieces)
        slowest = max(slowest, time.perf_counter() - started)
        assert slowest < SLOWEST_SECONDS, data
        assert run(IN_C, pieces) == found, data
        frames += len(found)
    print("compared with the part in C" if IS_BUILT else "without the part in C, which is not built")
    print(
        f"{chosen.inputs:,} inputs, {frames:,} frames, slowest {slowest * 1000:.1f} ms, {time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
