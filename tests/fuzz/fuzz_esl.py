"""Throws broken byte streams at the Event Socket parser: `python -m tests.fuzz.fuzz_esl [--inputs N] [--seed S]`.

Recorded frames are cut, doubled, flipped and spliced, and fed in pieces. Nothing but ProtocolError may come out, and no
input may take long.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from random import Random

from esl.errors import ProtocolError
from esl.event import Event
from esl.framing import FrameParser
from tests.benchmarks.bench_esl import recorded_events

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


def run(data: bytes, random: Random) -> int:
    """Feed `data` in pieces and read what comes; the number of frames."""
    parser, at, frames = FrameParser(), 0, 0
    try:
        while at < len(data):
            size = random.choice((1, 7, 100, 4096, 65536))
            for frame in parser.feed(data[at : at + size]):
                frames += 1
                if isinstance(frame, Event):
                    for name in NAMES:
                        frame.get(name)
                    frame.headers(), frame.body, frame.name, repr(frame)
                else:
                    frame.get("Job-UUID"), frame.text, repr(frame)
            at += size
    except ProtocolError:
        pass
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
        data = random.choice(seeds)
        for _ in range(random.randrange(1, 5)):
            data = random.choice(MUTATIONS)(data, random)
        started = time.perf_counter()
        frames += run(data, random)
        slowest = max(slowest, time.perf_counter() - started)
        assert slowest < SLOWEST_SECONDS, data
    print(
        f"{chosen.inputs:,} inputs, {frames:,} frames, slowest {slowest * 1000:.1f} ms, {time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
