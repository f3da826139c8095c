"""The files that were fetched, and what was decoded of them, on disk.

A file is known by its app and URL. Each time that it has changed at its server is a version: a few files in the cache's
folder that share a name, APP-RANDOM, where APP is a hash.

    APP-RANDOM.json        the record: an Entry
    APP-RANDOM.source      the file as it was fetched
    APP-RANDOM.8000.pcm    decoded: raw mono s16le at that sample rate

A link, named by a hash of app and URL, leads to the record of the current version. What is not finished yet is in
files named RANDOM.part.

Any number of processes may share a folder, and each may be killed at any point. There are no locks, so one that hangs
holds up no other. Instead each step is one that a file system does as a whole, a rename, and a name comes after what it
leads to. No version's files are ever given to another, so whoever decodes a version that is replaced meanwhile does no
harm. When two processes change one record at the same time, one change may be lost: then that is decoded, or asked for,
once more. Whatever is left over, `sweep` removes.

Nothing is forced to the disk. A file that the machine lost when it went down has another size than its record says,
and counts as absent.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from gevent.threadpool import ThreadPool
from pydantic import TypeAdapter

from controller.media.origin import Validators

UNUSED_SECONDS = 600.0  # after which what no link leads to is removed; what is being written or read is younger
SPARED_SECONDS = 60.0  # for which what was used is kept in any case: a node may be about to fetch it
UNIT_BYTES = 16384  # each file counts as a multiple of it, so that there are never too many to sweep
SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A version of a file, as it was when it was found. `version`: unique; `size`: of the source, in bytes;
    `fresh_until`: epoch seconds; `frames`: sample rate -> samples of its PCM.
    """

    version: str
    size: int
    validators: Validators
    fresh_until: float
    frames: Mapping[int, int] = field(default_factory=dict)


_ENTRIES = TypeAdapter(Entry)
# Whatever else someone keeps in the folder is not touched.
_OURS = re.compile(r"(?P<link>[0-9a-f]{64})|(?P<name>([0-9a-f]{16}-)?[0-9a-f]{32})\.(json|source|[0-9]+\.pcm|part)")


class Cache:
    """`max_bytes`: what may be left after a sweep, besides what is not finished and what was used within
    `spared_seconds`. `clock`: epoch seconds.

    An entry's files may be removed at any time, by this process or another. What is open can be read to its end; to
    open what is gone raises FileNotFoundError, and then the entry is absent. Whatever writes raises OSError when the
    disk is full, and what was there before stays.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        clock: Callable[[], float] = time.time,
        *,
        spared_seconds: float = SPARED_SECONDS,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.max_bytes = max_bytes
        self.used_bytes = 0  # as the last sweep has found, and what this process has put since
        self._folder = folder
        self._clock = clock
        self._spared_seconds = spared_seconds
        self._sweeper = ThreadPool(1)

    def find(self, app_id: str, url: str) -> Entry | None:
        """The current version, fresh or not."""
        try:
            entry = _ENTRIES.validate_json(self._link(app_id, url).read_bytes())
            return entry if self.source(entry).stat().st_size == entry.size else None
        except (OSError, ValueError):
            return None

    def source(self, entry: Entry) -> Path:
        return self._folder / f"{entry.version}.source"

    def pcm(self, entry: Entry, rate: int) -> Path | None:
        """Where the PCM at that rate is, if it was put."""
        path = self.pcm_of(entry.version, rate)
        with suppress(OSError):
            if path.stat().st_size == entry.frames.get(rate, -1) * SAMPLE_BYTES:
                return path
        return None

    def pcm_of(self, version: str, rate: int) -> Path:
        """Where the PCM of a version is, if it is there still."""
        return self._folder / f"{version}.{rate}.pcm"

    def new_file(self) -> tuple[Path, BinaryIO]:
        """For content that will be put. Whoever does not put it unlinks it; else a sweep does, UNUSED_SECONDS after
        it was last written to.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{secrets.token_hex(16)}.part"
        return path, open(path, "xb", opener=_private)

    def new_version(self, app_id: str) -> str:
        """For a version that will be put."""
        return f"{_hash(app_id)[:16]}-{secrets.token_hex(16)}"

    def put(
        self,
        app_id: str,
        url: str,
        path: Path,
        size: int,
        validators: Validators,
        fresh_until: float,
        version: str | None = None,
    ) -> Entry:
        """Makes a file from `new_file`, complete and flushed, the source of a new version."""
        entry = Entry(version or self.new_version(app_id), size, validators, fresh_until)
        self._write(entry)
        path.rename(self.source(entry))
        link = self._folder / f"{secrets.token_hex(16)}.part"
        link.symlink_to(self._record(entry.version).name)
        link.replace(self._link(app_id, url))
        self.used_bytes += UNIT_BYTES + _counted(size)
        return entry

    def freshen(self, entry: Entry, fresh_until: float) -> Entry:
        """The server has said that this version is still the current one."""
        entry = replace(entry, fresh_until=fresh_until)
        self._write(entry)
        return entry

    def put_pcm(self, entry: Entry, rate: int, path: Path, frames: int) -> Entry:
        """Makes a file from `new_file`, complete and flushed, the entry's PCM at that rate: so many samples."""
        path.rename(self.pcm_of(entry.version, rate))
        entry = replace(entry, frames={**entry.frames, rate: frames})
        self._write(entry)
        self.used_bytes += _counted(frames * SAMPLE_BYTES)
        return entry

    def touch(self, entry: Entry) -> None:
        """The entry is used. What was not used for the longest is removed first."""
        with suppress(FileNotFoundError):
            os.utime(self._record(entry.version), (self._clock(),) * 2)

    def sweep(self) -> None:
        """Removes what is left over and, while there is more than `max_bytes`, what the app that has the most has not
        used for the longest. It runs in a thread. Raises OSError.
        """
        self._sweeper.spawn(self._sweep).get()

    def _write(self, entry: Entry) -> None:
        path, file = self.new_file()
        with file:
            file.write(_ENTRIES.dump_json(entry))
        path.replace(self._record(entry.version))
        self.touch(entry)

    def _link(self, app_id: str, url: str) -> Path:
        return self._folder / _hash(f"{app_id}\0{url}")

    def _record(self, version: str) -> Path:
        return self._folder / f"{version}.json"

    # In the sweeper's thread

    def _sweep(self) -> None:
        found, links = self._scan()
        unused = self._clock() - UNUSED_SECONDS
        for name in [name for name, files in found.items() if name not in links and files.used_at < unused]:
            self._remove(found.pop(name), None)
        for link in [self._folder / link for name, link in links.items() if name not in found]:
            # What it leads to may have come since the scan.
            if not link.exists():
                link.unlink(missing_ok=True)
        # What is not finished is no app's yet, and cannot make room.
        left = sum(files.bytes for name, files in found.items() if "-" in name)
        spared = self._clock() - self._spared_seconds
        versions: defaultdict[str, list[str]] = defaultdict(list)  # app -> the least recently used last
        used: Counter[str] = Counter()
        for name in sorted(found, key=lambda name: found[name].used_at, reverse=True):
            app, dash, _ = name.partition("-")
            if dash:
                used[app] += found[name].bytes
                if found[name].used_at <= spared:
                    versions[app].append(name)
        while left > self.max_bytes and any(versions.values()):
            app = max((app for app in used if versions[app]), key=used.__getitem__)
            name = versions[app].pop()
            self._remove(found[name], links.get(name))
            left -= found[name].bytes
            used[app] -= found[name].bytes
        self.used_bytes = left

    def _scan(self) -> tuple[dict[str, _Files], dict[str, str]]:
        """Returns the files by the name that they share, and the links by the version that they lead to."""
        found: defaultdict[str, _Files] = defaultdict(_Files)
        links: dict[str, str] = {}
        with os.scandir(self._folder) as files:
            for file in files:
                ours = _OURS.fullmatch(file.name)
                if ours is None:
                    continue
                # It may be gone by now.
                with suppress(FileNotFoundError):
                    if ours["link"]:
                        links[os.readlink(file).partition(".")[0]] = file.name
                    else:
                        found[ours["name"]].add(file.name, file.stat(follow_symlinks=False))
        return found, links

    def _remove(self, files: _Files, link: str | None) -> None:
        """The link goes first, unless it leads to another version by now: a link that is there leads to something."""
        if link is not None:
            with suppress(FileNotFoundError):
                if os.readlink(self._folder / link) in files.names:
                    (self._folder / link).unlink()
        for name in files.names:
            (self._folder / name).unlink(missing_ok=True)


@dataclass(slots=True)
class _Files:
    """What shares a name: a version, or what is not finished. `used_at`: epoch seconds."""

    names: list[str] = field(default_factory=list)
    bytes: int = 0
    used_at: float = 0.0

    def add(self, name: str, status: os.stat_result) -> None:
        self.names.append(name)
        self.bytes += _counted(status.st_size)
        self.used_at = max(self.used_at, status.st_mtime)


def _counted(size: int) -> int:
    return max(1, -(-size // UNIT_BYTES)) * UNIT_BYTES


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
