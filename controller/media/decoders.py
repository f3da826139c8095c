"""Decodes audio in child processes, a few at a time. What they do, and what keeps them in their bounds: `decode.py`.

Nothing that a child says is believed further than it can be checked: it has read a stranger's bytes. Its messages are
matched against their known forms, and how much it has written is measured at the file.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import gevent
import orjson
import structlog
from gevent import socket as gsocket
from gevent import subprocess
from gevent.lock import BoundedSemaphore
from prometheus_client import Counter, Gauge, Histogram

from controller.limits import MEBIBYTE
from controller.media.reasons import AudioFailed
from controller.turns import Turns

log = structlog.get_logger(__name__)

PROGRAM = Path(__file__).with_name("decode.py")
ATTEMPTS = 2  # at a file, when the template is lost
GRACE_SECONDS = 5.0  # for the template to kill a child that is out of time
MAX_MESSAGE_BYTES = 4096
# Threads of numpy's would not survive a fork.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

DECODES = Counter(
    "switchroom_media_decodes",
    "Files decoded, by how that ended: done, not_audio, too_long, killed (by a limit or a crash), unwritten, lost",
    ["outcome"],
)
SECONDS = Histogram(
    "switchroom_media_decode_seconds",
    "From the start of a file's decoding to its end",
    buckets=(0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 120),
)
QUEUED = Gauge("switchroom_media_decodes_queued", "Files that wait to be decoded")

# Outcome -> the reason that tenants get.
REASONS_OF_OUTCOMES = {"not_audio": "not_audio", "killed": "not_audio", "too_long": "too_long", "lost": "timeout"}

Progress = Callable[[int, int], None]
"""Is given how many frames the file says it has, 0 if it doesn't say, and how many can be read from the output."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """For one file. `max_seconds`: of sound; Opus takes most CPU time, 10 ms for each. `seconds`: that it may wait for
    its turn, and that its decoding may take then. `memory`: bytes on top of what a child begins with.
    """

    max_seconds: int = 3600
    seconds: float = 180.0
    cpu_seconds: int = 120
    memory: int = 128 * MEBIBYTE


class Unresponsive(Exception):
    """The template should have ended the child by now."""


class Decoders:
    """`processes`: that decode at a time."""

    def __init__(self, limits: DecodeLimits, processes: int = max(2, os.cpu_count() or 1)) -> None:
        self._limits = limits
        # One app's slow files leave a place for another's first.
        self._turns = Turns(processes, per_app=max(1, processes - 1))
        self._starting = BoundedSemaphore()
        self._template: Template | None = None

    def start(self) -> None:
        self._template = Template()

    def stop(self, timeout: float) -> None:
        """What is being decoded, or waits for it, fails. `timeout`: seconds for the processes to end by themselves."""
        with self._starting:
            template, self._template = self._template, None
        if template is not None:
            template.stop(timeout)

    def decode(
        self,
        app_id: str,
        source: BinaryIO | int,
        output: BinaryIO | int,
        rate: int,
        progress: Progress,
        *,
        size: int | None = None,
    ) -> int:
        """Writes the file `source` to the empty file `output`, as raw mono 16-bit little-endian PCM at `rate`. Both are
        real files; where they stand does not matter, and is left as it is. Returns the number of frames. `size`: the
        bytes that `source` will have, if more are written to it meanwhile.

        Only the calling greenlet waits. Apps take turns. What `progress` was told can be read from the output at once;
        its numbers never fall.

        Raises AudioFailed: not_audio, too_long, or timeout when no process could be had for the file in time; and
        OSError when the output can't be written.
        """
        source, output = _descriptor(source), _descriptor(output)
        size = os.fstat(source).st_size if size is None else size
        job = Job(source, output, {"rate": rate, "size": size, **asdict(self._limits)}, progress)
        with ExitStack() as turn:
            with QUEUED.track_inprogress():
                turn.enter_context(self._turns.turn(app_id, self._limits.seconds, AudioFailed("timeout")))
            for _ in range(ATTEMPTS):
                started = time.monotonic()
                self._attempt(job)
                DECODES.labels(job.outcome).inc()
                SECONDS.observe(time.monotonic() - started)
                log.debug("audio decoded", app=app_id, outcome=job.outcome, **job.usage)
                if job.outcome != "lost":
                    break
                log.warning("audio decoder lost", app=app_id)
        if job.outcome == "done":
            return job.written
        if job.outcome == "unwritten":
            raise OSError(job.errno, os.strerror(job.errno))
        if job.outcome == "killed":
            log.warning("audio decoder killed", app=app_id, **job.usage)
        raise AudioFailed(REASONS_OF_OUTCOMES[job.outcome])

    def _attempt(self, job: Job) -> None:
        """Has one child decode the file, and returns when it has said how that went: it takes a while to end. The job
        is "lost" when the template ends before it, or does not respond.
        """
        job.outcome = "lost"
        ours, theirs = gsocket.socketpair(gsocket.AF_UNIX, gsocket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                template = self._submit(job, theirs.fileno())
            try:
                with gevent.Timeout(self._limits.seconds + GRACE_SECONDS, Unresponsive):
                    while job.outcome == "lost" and (data := ours.recv(MAX_MESSAGE_BYTES)):
                        job.note(data)
            except Unresponsive:
                pass
            if job.outcome == "lost":
                # It does not respond, or has ended, or is about to: what is submitted to it now would be lost, too.
                template.kill()

    def _submit(self, job: Job, messages: int) -> Template:
        """Returns the template that has it, which may be a new one."""
        with self._starting:
            while self._template is not None:
                try:
                    self._template.submit(job, messages)
                except ConnectionError:
                    self._template.close()
                    self._template = Template()
                else:
                    return self._template
        raise AudioFailed("timeout")


class Job:
    """One file. `terms`: what a child is told of it (decode.py). `outcome`: as it is counted. `written`: frames that
    can be read from the output.
    """

    def __init__(self, source: int, output: int, terms: dict[str, Any], progress: Progress) -> None:
        self.files = (source, output)
        self.message = orjson.dumps(terms)
        self.outcome = "lost"
        self.written = 0
        self.errno = 0
        self.usage: dict[str, float] = {}  # exit code, CPU seconds and memory of a child that was killed
        self._max_frames = terms["max_seconds"] * terms["rate"]
        self._progress = progress
        self._claimed = 0

    def note(self, data: bytes) -> None:
        """A message about it has come."""
        match _parsed(data):
            case {"frames": int(frames)}:
                self._claimed = min(max(0, frames), self._max_frames)
                self._progress(self._claimed, self.written)
            case {"written": int()}:
                self.written = self._measured()
                self._progress(self._claimed, self.written)
            case {"done": int(frames)} if frames == self._measured():
                self.outcome, self.written = "done", frames
            case {"failed": "not_audio" | "too_long" as reason}:
                self.outcome = reason
            case {"errno": int(errno)}:
                self.outcome, self.errno = "unwritten", errno
            case {"ended": int(code), "cpu": float(cpu), "max_rss": int(max_rss)}:
                self.outcome = "killed"
                self.usage = {"exit": code, "cpu": cpu, "max_rss": max_rss}

    def _measured(self) -> int:
        return os.fstat(self.files[1]).st_size // 2


def _descriptor(file: BinaryIO | int) -> int:
    return file if isinstance(file, int) else file.fileno()


def _parsed(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


class Template:
    """The process that forks the children. It ends when its socket is closed, and the children with it."""

    def __init__(self) -> None:
        self._jobs, theirs = gsocket.socketpair(gsocket.AF_UNIX, gsocket.SOCK_SEQPACKET)
        # It imports what this process could, and gets nothing else of the environment, which may hold secrets.
        path = os.pathsep.join(map(os.path.abspath, sys.path))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", PROGRAM, str(theirs.fileno())],
                env={"PYTHONPATH": path, **ONE_THREAD},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def submit(self, job: Job, messages: int) -> None:
        """Raises ConnectionError when the process has ended."""
        gsocket.send_fds(self._jobs, [job.message], [*job.files, messages])

    def close(self) -> None:
        self._jobs.close()

    def stop(self, timeout: float) -> None:
        self.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Returns when it has ended, so that nothing is submitted to it any more."""
        self._process.kill()
        self._process.wait()
