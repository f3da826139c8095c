"""Processes that use one cache at once, and are killed in the middle of it. Run as a program:

    FOLDER run SECONDS    one process that does everything, at random
    FOLDER kill ROUNDS    two such processes at a time, killed at random
    FOLDER fill           on a file system that is soon full

Every source has its own hash for an ETag, and its PCM is made of that.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from controller.media.cache import UNIT_BYTES, Cache, Entry
from controller.media.origin import Validators

APPS = ("a", "b", "c")
URLS = tuple(f"http://files.example/{number}" for number in range(4))
RATES = (8000, 48000)
MAX_BYTES = 100 * UNIT_BYTES


def put(cache: Cache, app: str, url: str, size: int) -> Entry:
    content = random.randbytes(size)
    path, file = cache.new_file()
    with file:
        file.write(content)
    etag = hashlib.sha256(content).hexdigest()
    return cache.put(app, url, path, size, Validators(etag), time.time() + 60)


def put_pcm(cache: Cache, entry: Entry, rate: int) -> Entry:
    path, file = cache.new_file()
    with file:
        file.write(pcm := pcm_of(entry, rate))
    return cache.put_pcm(entry, rate, path, len(pcm) // 2)


def pcm_of(entry: Entry, rate: int) -> bytes:
    return entry.validators.etag.encode() * (rate // 100)


def check(cache: Cache, entry: Entry) -> None:
    """What is found is whole, and of one version, or it is gone by now."""
    with suppress(FileNotFoundError):
        content = cache.source(entry).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry.validators.etag
    for rate in RATES:
        with suppress(FileNotFoundError):
            if path := cache.pcm(entry, rate):
                assert path.read_bytes() == pcm_of(entry, rate)


def do_anything(cache: Cache, until: float) -> None:
    while time.monotonic() < until:
        app, url = random.choice(APPS), random.choice(URLS)
        entry = cache.find(app, url)
        if entry is None or random.random() < 0.3:
            entry = put(cache, app, url, random.choice((0, 1, 10_000, 100_000)))
        check(cache, entry)
        if random.random() < 0.5:
            entry = put_pcm(cache, entry, random.choice(RATES))
        if random.random() < 0.3:
            entry = cache.freshen(entry, time.time())
        cache.touch(entry)
        check(cache, entry)
        if random.random() < 0.1:
            cache.sweep()


def kill(folder: Path, rounds: int) -> None:
    for _ in range(rounds):
        children = []
        for _ in range(2):
            child = os.fork()
            if not child:
                random.seed()
                do_anything(Cache(folder, MAX_BYTES, spared_seconds=0), time.monotonic() + 30)
                os._exit(1)
            children.append(child)
        for child in children:
            time.sleep(random.uniform(0.005, 0.06))
            os.kill(child, signal.SIGKILL)
        for child in children:
            status = os.waitpid(child, 0)[1]
            assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "it ended by itself"


def fill(folder: Path) -> None:
    cache = Cache(folder, 1 << 30, spared_seconds=0)
    first = put(cache, "a", "first", 10_000)
    problem: OSError | None = None
    for number in range(1000):
        try:
            put_pcm(cache, put(cache, "a", str(number), 10_000), 8000)
        except OSError as error:
            problem = error
            break
    assert problem is not None
    assert problem.errno == errno.ENOSPC
    with suppress(OSError):
        put(cache, "a", "first", 10_000)
    assert cache.find("a", "first") == first
    with suppress(OSError):
        cache.freshen(first, 1.0)
    assert cache.find("a", "first") is not None
    check(cache, first)
    cache.max_bytes = 0
    cache.sweep()
    assert cache.find("a", "first") is None
    check(cache, put(cache, "a", "first", 10_000))


def main(folder: Path, task: str, amount: str = "") -> None:
    if task == "run":
        do_anything(Cache(folder, MAX_BYTES, spared_seconds=0), time.monotonic() + float(amount))
    elif task == "kill":
        kill(folder, int(amount))
    else:
        fill(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
