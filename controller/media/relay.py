"""The audio relay: it makes what an app wants played into a file that a node can play.

How it works: `prepare` is asked for an app's URL at a sample rate, again and again until the file is ready. The first
question starts a job, which goes on by itself, and all that ask for the same meanwhile wait for the one job. A job
looks into the cache, else it fetches; the server of a file that has gone stale is asked whether it is still the same.
Then it decodes, unless that was done before. How a job ended is remembered for REMEMBER_SECONDS, for whoever asks next.

Each step begins when the one before is about to end. So a file is decoded while the last of it is fetched, and it
counts as ready while the last of it is decoded: by then it is known to be audio, and the node is told of it meanwhile.
What a node gets is raw PCM from the cache, as a WAV whose head is made when it is asked for.

A long file is two for the node, which plays them as one: it plays nothing of a file before it has all of it, so the
first part is short, and the node fetches the rest while it plays that. The first part is ready before the rest is
decoded, unless that takes long. How long it is depends on the length of the file alone, so that a node which has played
the file has both parts still.
"""

from __future__ import annotations

import io
import re
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import gevent
import structlog
from gevent.event import AsyncResult
from gevent.event import Event as Flag
from prometheus_client import Counter, Gauge

from controller.media.cache import SAMPLE_BYTES, Cache, Entry
from controller.media.decoders import Decoders, Progress
from controller.media.links import TEST_FILE
from controller.media.origin import Origin
from controller.media.reasons import AudioFailed

REMEMBER_SECONDS = 5.0
SWEEP_SECONDS = 10.0
# For which an error of the disk counts as lasting after it was met.
FAILING_SECONDS = 60.0
# Before its end, as far as can be told: then a fetch or a decoding is about to end.
LAST_SECONDS = 1.0
# For a file that a node asks for and that is still decoded. The node waits for 10 s (freeswitch-conf/).
MAX_WAIT_SECONDS = 8.0
# A file that has less than this left to decode is ready: a node needs as long to ask for it.
MIN_LEFT_SECONDS = 0.01
# The first part of a long file is so long, or twice, four times ... as long.
FIRST_SECONDS = 2.0
# For how many times longer than the rest takes the first part must play.
MARGIN = 2.0
# At which a node gets the rest, at the least.
NODE_BYTES_PER_SECOND = 5e6

# VERSION-RATE, and of a part -START-END, in frames; without END to the end.
_NAME = re.compile("([0-9a-f]+-[0-9a-f]+)-([0-9]+)(?:-([0-9]+)-([0-9]*))?")

# App, URL and rate.
_Key = tuple[str, str, int]

log = structlog.get_logger(__name__)

prepared_total = Counter(
    "switchroom_media_prepared",
    "Files that plays asked for: cached, fetched, or why they could not be had",
    ["outcome"],
)
prepared_total.labels("relay_failed")  # 0 from the start, for its alert
cache_bytes = Gauge("switchroom_media_cache_bytes", "Bytes that the cache of files has on disk")
served_bytes = Counter("switchroom_media_served_bytes", "Bytes of sound that nodes were sent")


@dataclass(frozen=True, slots=True)
class File:
    """A file that nodes can play. `details`: what became of it, for the event log. `rest`: the frame up to which it
    goes, 0 if it is all that there is, and `rest_name` the file that goes on from there.
    """

    name: str
    rest: int = 0
    rest_name: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class _Job:
    """`outcome`: what is known of a file. It may change: what begins well may end badly."""

    def __init__(self) -> None:
        self.outcome: AsyncResult[File | AudioFailed] = AsyncResult()
        self.greenlet: gevent.Greenlet[..., None] | None = None
        self.asked_at = time.monotonic()
        self.pcm: Path | None = None  # as far as it is decoded

    def tell(self, outcome: File | AudioFailed) -> None:
        self.take_back()
        self.outcome.set(outcome)

    def take_back(self) -> None:
        if self.outcome.ready():
            self.outcome = AsyncResult()


class _Fetch:
    """A fetch for all who want the file now. Once it `is_readable`, because it is about to end or has ended, it is of
    a `version`, of `size` bytes, and at `path`.
    """

    def __init__(self) -> None:
        self.is_readable = Flag()
        self._entry: AsyncResult[Entry] = AsyncResult()
        self.greenlet: gevent.Greenlet[..., None] | None = None
        self.version = ""
        self.size = 0
        self.path = Path()
        self._readers: set[Any] = set()

    def begin_reading(self, version: str, size: int, path: Path) -> None:
        self.version, self.size, self.path = version, size, path
        self.is_readable.set()

    def wait_readable(self) -> None:
        """Raises the error that has ended the fetch before."""
        self.is_readable.wait()
        if self.has_ended:
            self.entry()

    @property
    def has_ended(self) -> bool:
        return self._entry.ready()

    @property
    def is_whole(self) -> bool:
        return self._entry.successful()

    def when_ended(self, act: Callable[[], None]) -> None:
        self._entry.rawlink(lambda _: act())

    def entry(self) -> Entry:
        """What came of it. Raises the AudioFailed or OSError that ended it."""
        return cast(Entry, self._entry.get())

    def end(self, entry: Entry, path: Path) -> None:
        self.begin_reading(entry.version, entry.size, path)
        self._entry.set(entry)

    def fail(self, error: Exception) -> None:
        self._entry.set_exception(error)
        self.is_readable.set()
        for reader in self._readers:
            reader.kill(error, block=False)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block, the error that ends the fetch is raised as soon as there is one."""
        me = gevent.getcurrent()
        self._readers.add(me)
        try:
            self.wait_readable()
            yield
        finally:
            self._readers.discard(me)


class Relay:
    """Prepares files from `start` to `stop`. `remember`: seconds for which the outcome of a job is kept, at least.
    `clock`: epoch seconds.
    """

    def __init__(
        self,
        cache: Cache,
        origin: Origin,
        decoders: Decoders,
        *,
        remember: float = REMEMBER_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._origin = origin
        self._decoders = decoders
        self._remember = remember
        self._clock = clock
        # By app, URL and rate; and the fetches within, by app and URL.
        self._jobs: dict[_Key, _Job] = {}
        # The jobs that decode, by the name that their file will have.
        self._decoding: dict[str, _Job] = {}
        self._fetches: dict[tuple[str, str], _Fetch] = {}
        self._failing_until: dict[int | None, float] = {}  # by the error's number
        self._is_full = Flag()
        self._sweeping: gevent.Greenlet[..., None] | None = None

    def start(self) -> None:
        self._sweeping = gevent.spawn(self._sweep)

    def stop(self, timeout: float) -> None:
        begun: list[_Job | _Fetch] = [*self._jobs.values(), *self._fetches.values()]
        running: list[Any] = [each.greenlet for each in begun]
        gevent.killall(filter(None, [*running, self._sweeping]), timeout=timeout)

    def prepare(self, app_id: str, url: str, rate: int, wait: float, start: int = 0) -> File | None:
        """The file of an app's URL, as mono PCM at `rate`, from frame `start` on; None if it is not ready within `wait`
        seconds. Raises AudioFailed.
        """
        key = (app_id, url, rate)
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = _Job()
            job.greenlet = gevent.spawn(self._run, key, job)
        job.asked_at = time.monotonic()
        if start and job.greenlet:
            job.greenlet.join(wait)
            if not job.greenlet.ready():
                return None
        outcome = job.outcome.wait(wait)
        if isinstance(outcome, AudioFailed):
            raise outcome
        if outcome and start:
            return replace(outcome, name=f"{outcome.name.partition('-0-')[0]}-{start}-", rest=0, rest_name="")
        return outcome

    def open(self, name: str) -> tuple[bytes, BinaryIO, int] | None:
        """The head of a prepared file's WAV, its samples, which others may follow, and how many bytes it has; None if
        it is gone. Waits until all of it is decoded.
        """
        if name == TEST_FILE:
            rate = int(name.rpartition("-")[2])
            silence = bytes(rate // 10 * SAMPLE_BYTES)
            return wav_head(len(silence), rate), io.BytesIO(silence), len(silence)
        parts = _NAME.fullmatch(name)
        if parts is None:
            return None
        version, rate, start, end = parts[1], int(parts[2]), int(parts[3] or 0), int(parts[4] or 0)
        job = self._decoding.get(f"{version}-{rate}")
        if job and job.greenlet and not end:
            job.greenlet.join(MAX_WAIT_SECONDS)
            if not job.greenlet.ready():
                # It was not about to end after all.
                job.take_back()
        path = job.pcm if job and job.pcm and end else self._cache.pcm_of(version, rate)
        try:
            file = open(path, "rb")  # noqa: SIM115 (whoever sends it closes it)
        except OSError:
            # Gone since it was prepared. Whoever asks next has it prepared anew.
            for key, job in list(self._jobs.items()):
                if isinstance(job.outcome.value, File) and job.outcome.value.name.startswith(f"{version}-{rate}"):
                    self._forget(key, job)
            return None
        last = file.seek(0, 2)
        size = max(0, min(end * SAMPLE_BYTES or last, last) - start * SAMPLE_BYTES)
        if not size:
            file.close()
            return None
        file.seek(start * SAMPLE_BYTES)
        served_bytes.inc(size)
        return wav_head(size, rate), file, size

    def _forget(self, key: _Key, job: _Job) -> None:
        if self._jobs.get(key) is job:
            del self._jobs[key]

    def _run(self, key: _Key, job: _Job) -> None:
        try:
            prepared_total.labels(self._prepare(*key, job)).inc()
        except AudioFailed as failed:
            self._fail(job, failed)
        except OSError as error:
            self._log_failure(error)
            self._fail(job, AudioFailed("relay_failed"))
        except Exception:
            log.exception("file not prepared", app=key[0])
            self._fail(job, AudioFailed("relay_failed"))
        finally:
            gevent.spawn_later(self._remember, self._forget, key, job)

    def _fail(self, job: _Job, failed: AudioFailed) -> None:
        prepared_total.labels(failed.reason).inc()
        job.tell(failed)

    def _log_failure(self, error: OSError) -> None:
        """Once as long as it lasts: each file that is asked for fails alike."""
        now = time.monotonic()
        if self._failing_until.get(error.errno, 0.0) <= now:
            log.error("the audio relay cannot store files", reason=error.strerror or str(error))
        self._failing_until[error.errno] = now + FAILING_SECONDS

    def _prepare(self, app_id: str, url: str, rate: int, job: _Job) -> str:
        """Returns how it was had. Raises AudioFailed, OSError."""
        started = time.monotonic()
        entry = self._cache.find(app_id, url)
        if is_cached := entry is not None and entry.fresh_until > self._clock():
            fetch = _Fetch()
            fetch.end(entry, self._cache.source(entry))
        else:
            fetch = self._join_fetch(app_id, url)
        fetch.wait_readable()
        begun = time.monotonic()
        name = f"{fetch.version}-{rate}"
        details = {
            "bytes": fetch.size,
            "cached": is_cached,
            "fetch_ms": round((begun - started) * 1000, 1),
        }

        def tell(frames: int) -> None:
            about = {**details, "seconds": round(frames / rate, 3)}
            if part := first_part(frames, rate):
                job.tell(File(f"{name}-0-{part}", part, f"{name}-{part}-", about))
            else:
                job.tell(File(name, details=about))

        claimed = written = 0

        def judge() -> None:
            # What has yet to come may take its time, however fast the rest was decoded.
            if job.outcome.ready() or not fetch.is_whole or not 0 < written <= claimed:
                return
            part = first_part(claimed, rate)
            enough = part / rate / MARGIN if 0 < part <= written else MIN_LEFT_SECONDS
            if _seconds_left(claimed, written, begun) < enough:
                tell(claimed)

        def progress(*frames: int) -> None:
            nonlocal claimed, written
            claimed, written = frames
            judge()

        fetch.when_ended(judge)

        self._decoding[name] = job
        try:
            tell(self._decoded(app_id, fetch, rate, job, progress))
        finally:
            # Unless it was dropped, and another has begun since.
            if self._decoding.get(name) is job:
                del self._decoding[name]
        self._cache.touch(fetch.entry())
        if self._cache.used_bytes > self._cache.max_bytes:
            self._is_full.set()
        return "cached" if is_cached else "fetched"

    def _join_fetch(self, app_id: str, url: str) -> _Fetch:
        """One fetch is for all who want the file now."""
        key = (app_id, url)
        fetch = self._fetches.get(key)
        if fetch is None:
            fetch = self._fetches[key] = _Fetch()
            fetch.greenlet = gevent.spawn(self._fetch, key, fetch)
        return fetch

    def _fetch(self, key: tuple[str, str], fetch: _Fetch) -> None:
        path: Path | None = None
        try:
            known = self._cache.find(*key)
            path, file = self._cache.new_file()
            version = self._cache.new_version(key[0])
            begun = time.monotonic()

            def progress(claimed: int, written: int) -> None:
                if not path or fetch.is_readable.is_set() or written > claimed:
                    return
                if _seconds_left(claimed, written, begun) < LAST_SECONDS:
                    fetch.begin_reading(version, claimed, path)

            with file:
                fetched = self._origin.fetch(*key, file, known.validators if known else None, progress)
            fresh_until = self._clock() + fetched.fresh_seconds
            if known and not fetched.modified:
                entry = self._cache.freshen(known, fresh_until)
            else:
                entry = self._cache.put(*key, path, fetched.bytes, fetched.validators, fresh_until, version)
            fetch.end(entry, self._cache.source(entry))
        except Exception as error:
            # Whatever it is: those who want the file wait for the end without a limit, and say what it was.
            fetch.fail(error)
        finally:
            if path:
                path.unlink(missing_ok=True)
            # Unless it was dropped, and another has begun since.
            if self._fetches.get(key) is fetch:
                del self._fetches[key]

    def _decoded(self, app_id: str, fetch: _Fetch, rate: int, job: _Job, progress: Progress) -> int:
        """How many samples the decoded file has. Raises AudioFailed, OSError."""
        if fetch.has_ended and self._cache.pcm(entry := fetch.entry(), rate):
            return entry.frames[rate]
        path, file = self._cache.new_file()
        job.pcm = path
        try:
            with fetch.reading(), file, open(fetch.path, "rb") as source:
                frames = self._decoders.decode(app_id, source, file, rate, progress, size=fetch.size)
            self._cache.put_pcm(fetch.entry(), rate, path, frames)
        finally:
            job.pcm = None
            path.unlink(missing_ok=True)
        return frames

    def _drop_abandoned(self) -> None:
        """What nobody asks for any more, after a stop, say, does not hold up what is asked for."""
        abandoned = time.monotonic() - SWEEP_SECONDS
        for key, job in list(self._jobs.items()):
            if not job.outcome.ready() and job.asked_at < abandoned and job.greenlet:
                self._forget(key, job)
                job.greenlet.kill(block=False)
        for fetch in self._fetches.keys() - {key[:2] for key in self._jobs}:
            # Out of the table first: whoever asks now must not wait for one that is about to end.
            if greenlet := self._fetches.pop(fetch).greenlet:
                greenlet.kill(block=False)

    def _sweep(self) -> None:
        while True:
            try:
                self._cache.sweep()
                cache_bytes.set(self._cache.used_bytes)
            except OSError as error:
                log.error("the cache of audio was not swept", reason=error.strerror)
            self._drop_abandoned()
            self._is_full.wait(SWEEP_SECONDS)
            self._is_full.clear()


def _seconds_left(claimed: int, written: int, since: float) -> float:
    """For how long the rest takes at the speed until here, and rather too much: there was a start, too."""
    return (claimed - written) * (time.monotonic() - since) / written


def first_part(frames: int, rate: int) -> int:
    """How many frames of a file are its first part, 0 if it is played as one."""
    seconds = FIRST_SECONDS
    while seconds < MARGIN * frames * SAMPLE_BYTES / NODE_BYTES_PER_SECOND:
        seconds *= 2
    part = int(seconds * rate)
    return part if frames >= 2 * part else 0


def wav_head(size: int, rate: int) -> bytes:
    """What stands before `size` bytes of mono 16-bit samples in a WAV."""
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, SAMPLE_BYTES, 16
    )
    return head + struct.pack("<4sI", b"data", size)
