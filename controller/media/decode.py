"""The child program that decodes audio. Bytes that tenants chose are read by libsndfile here, and nowhere else.

How it works. `decoders.py` starts this program once, as the template. It imports the libraries, which takes 0.2 s, and
then forks a child for each file. So a child begins with the libraries and nothing else, decodes one file, and nothing
of that file is left when the next one comes. A few children wait for jobs, so that few jobs wait for a fork. Another is
forked when one has ended, and not when it gets its job: a fork would take the processor from it.

A job comes as one message on the template's socket: a JSON object with `rate`, the limits, and the `size` that the file
to read has or will have, with three descriptors. They are the file to read, the file to write, and a socket for
messages about the job. The file to read may still be written to: the decoder reads what is there, and waits for what is
not. Before the child reads a byte, it closes all other
descriptors and sets limits for itself: on memory, CPU time, the size of what it writes, and new descriptors and
processes. The template kills it when its time is over, or when nobody listens to the job's socket any more.

Messages about a job are JSON objects with one name each:

    {"frames": N}     first: how long the file says it is, in frames of the output; 0 if it doesn't say
    {"written": N}    so many frames can be read from the output; at the first block, when they are twice as many as at
                      the last such message, and every 10 ms
    {"done": N}       that was all
    {"failed": R}     R is "not_audio" or "too_long"
    {"errno": E}      the output could not be written
    {"ended": C, "cpu": S, "max_rss": K}
                      last, from the template: the child's exit code (-N: killed by signal N), CPU seconds, memory in kB

The template ends when its socket is closed, so it does not outlive the process that started it. The kernel kills the
children when the template ends.

This program imports nothing of the project: it must stay small, and free of gevent.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import io
import json
import math
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

MIN_RATE = 1000  # of a file
MAX_RATE = 192_000
# Samples a second, of all channels together: stereo at 48 kHz. A file that has more may be shorter in proportion. So
# none takes much longer to decode than stereo Opus of the greatest length, where a sample takes 0.12 microseconds.
MAX_SAMPLE_RATE = 96_000
# Codecs that are made for 8 kHz take up to 0.62 microseconds for a sample.
TELEPHONY = ("G72", "GSM", "NMS")  # as the names of their subtypes begin
TELEPHONY_WEIGHT = 6
UNKNOWN_FRAMES = 0x7FFF_FFFF_FFFF_FFFF  # libsndfile's SF_COUNT_MAX: a file that does not say how long it is
BLOCK_SAMPLES = 32768  # of all channels together; 4 s of one at 8 kHz
BUFFER_BYTES = 65536
REPORT_SECONDS = 0.01
POLL_SECONDS = 0.002
RATE_OF_SILENCE = 8000
FLOATS = ("FLOAT", "DOUBLE")  # kinds of samples that may be any number
INTEGERS = "PCM_16"
SPARES = 2  # children that wait for jobs
NICENESS = 10  # calls go before files

# A child's descriptors. 1 and 2 lead nowhere: libsndfile prints what it finds wrong with some files.
SOURCE = 0
MESSAGES = 3
OUTPUT = 4

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38

Samples = NDArray[np.float32]


class Unplayable(Exception):
    """`reason`: "not_audio" or "too_long"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Sound(soundfile.SoundFile):  # type: ignore[misc]
    """Read from its start to its end. soundfile seeks after each read from a file that can seek, which costs time, and
    some decoders lose their state by it.
    """

    def seekable(self) -> bool:
        return False


class Source(io.RawIOBase):
    """The file at a descriptor, of which more may come until it has `size` bytes. To read what has not come, waits."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = offset + (0, self._position, self._size)[whence]
        if position < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        while not (count := os.preadv(self._descriptor, [buffer], self._position)) and self._position < self._size:
            time.sleep(POLL_SECONDS)
        self._position += count
        return count


# One file


def decode(source: io.RawIOBase, output: BinaryIO, rate: int, max_seconds: float, report: Callable[..., None]) -> None:
    """Writes the file `source` as raw mono 16-bit little-endian PCM at `rate`, and calls `report(name=number)` as it
    goes. Channels are mixed by their mean. Memory does not grow with the file.

    A file that breaks off is played as far as it goes. One that says that it is longer than `max_seconds` is too long,
    whether that is true or not, and so is one with more samples than MAX_SAMPLE_RATE in that time. Raises Unplayable,
    and OSError when the output can't be written.
    """
    try:
        sound = Sound(io.BufferedReader(source, BUFFER_BYTES))
    except soundfile.SoundFileError as error:
        raise Unplayable("not_audio") from error
    if not MIN_RATE <= sound.samplerate <= MAX_RATE:
        raise Unplayable("not_audio")
    max_frames = int(max_seconds * rate * min(1.0, MAX_SAMPLE_RATE / _sample_rate(sound)))
    claimed = 0 if sound.frames == UNKNOWN_FRAMES else round(sound.frames * rate / sound.samplerate)
    if claimed > max_frames:
        raise Unplayable("too_long")
    report(frames=claimed)
    written, reported, reported_at = 0, 0, 0.0
    for samples in _resampled(sound, rate):
        written += len(samples)
        if written > max_frames:
            raise Unplayable("too_long")
        pcm = (samples * 32768).round().clip(-32768, 32767).astype("<i2")
        output.write(pcm.tobytes())
        if written and (written >= 2 * reported or time.monotonic() - reported_at >= REPORT_SECONDS):
            output.flush()
            report(written=written)
            reported, reported_at = written, time.monotonic()
    if not written:
        raise Unplayable("not_audio")
    # A child before this one may have been lost on the way; it wrote the same.
    output.truncate()
    report(done=written)


def _sample_rate(sound: Sound) -> int:
    weight = TELEPHONY_WEIGHT if sound.subtype.startswith(TELEPHONY) else 1
    return int(sound.samplerate) * int(sound.channels) * weight


def _resampled(sound: Sound, rate: int) -> Iterator[Samples]:
    """Yields arrays of mono samples at `rate`."""
    if sound.samplerate == rate:
        yield from _mono(sound)
        return
    # Measured: no dearer than MQ, speech changes by 0.01 dB at most, and aliases are 140 dB down.
    resampler = soxr.ResampleStream(sound.samplerate, rate, 1, dtype="float32", quality="HQ")
    for samples in _mono(sound):
        yield resampler.resample_chunk(samples)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def _mono(sound: Sound) -> Iterator[Samples]:
    """Yields arrays of the channels' mean, -1 to 1."""
    # Of a WAV, libsndfile reads 16 bits a block at once, as they are; what it converts, in pieces of 8 kB.
    kind, unit = (np.int16, 32768) if sound.subtype == INTEGERS else (np.float32, 1)
    block = np.empty((max(1, BLOCK_SAMPLES // sound.channels), sound.channels), kind)
    weights = np.full(sound.channels, 1 / (sound.channels * unit), np.float32)
    while True:
        try:
            samples = sound.read(out=block)
        except soundfile.SoundFileError:
            return  # It breaks off.
        if not len(samples):
            return
        if sound.subtype in FLOATS:
            samples.clip(-1, 1, out=samples)  # so that no sum is infinite
        mono = samples @ weights
        if not np.isfinite(mono.sum()):
            np.nan_to_num(mono, copy=False, posinf=1, neginf=-1)
        yield mono


def warm_up() -> None:
    """What the libraries do for the first time takes longer, so it is done before the first fork, with silence."""
    sound = os.memfd_create("silence")
    soundfile.write(sound, np.zeros(RATE_OF_SILENCE, np.int16), RATE_OF_SILENCE, format="WAV", closefd=False)
    size = os.fstat(sound).st_size
    for rate in (RATE_OF_SILENCE, 2 * RATE_OF_SILENCE):
        with open(os.memfd_create("decoded"), "wb") as output:
            decode(Source(sound, size), output, rate, 1.0, lambda **_: None)
    os.close(sound)


# The child


def get_ready(template: int, jobs: socket.socket) -> int:
    """Gives up what a decoder does not need, as long as there is no job yet. Returns the descriptor of `jobs`, which is
    the only one left that leads anywhere.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != template:
        os._exit(1)  # It had ended before.
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.nice(NICENESS)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor, opened in ((1, nowhere), (2, nowhere), (MESSAGES, jobs.fileno())):
        os.dup2(opened, descriptor)
    os.close(SOURCE)
    os.closerange(MESSAGES + 1, os.sysconf("SC_OPEN_MAX"))
    return MESSAGES


def confine(job: dict[str, Any], source: int, output: int, messages: int) -> None:
    """Sets the limits. Then there are SOURCE, MESSAGES and OUTPUT, and no other descriptors that lead anywhere."""
    # The files are opened anew: at positions of their own, and not to be read and written but one or the other.
    reading = os.open(f"/proc/self/fd/{source}", os.O_RDONLY)
    writing = os.open(f"/proc/self/fd/{output}", os.O_WRONLY)
    for descriptor, opened in ((MESSAGES, messages), (SOURCE, reading), (OUTPUT, writing)):
        os.dup2(opened, descriptor)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    os.closerange(OUTPUT + 1, os.sysconf("SC_OPEN_MAX"))
    for limit, value in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + job["memory"]),
        (resource.RLIMIT_CPU, job["cpu_seconds"]),
        (resource.RLIMIT_FSIZE, int(job["max_seconds"] * job["rate"]) * 2),
        # None may be opened, also not in the place of one that was closed.
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def run_child(template: int, jobs: socket.socket) -> NoReturn:
    """Waits for a job, does it, and ends the process. It was forked to that end."""
    code = 1
    try:
        waiting = socket.socket(fileno=get_ready(template, jobs))
        warm_up()  # so that it has its own copies of the pages that it writes to
        data, descriptors, _, _ = socket.recv_fds(waiting, 4096, 3)
        if not data:
            os._exit(0)  # Nobody will come.
        job = json.loads(data)
        confine(job, *descriptors)
        messages = socket.socket(fileno=MESSAGES)

        def report(**message: Any) -> None:
            messages.send(json.dumps(message).encode())

        try:
            decode(Source(SOURCE, job["size"]), open(OUTPUT, "wb"), job["rate"], job["max_seconds"], report)  # noqa: SIM115
        except Unplayable as error:
            report(failed=error.reason)
        except OSError as error:
            report(errno=error.errno)
        # To end takes a few milliseconds, which whoever reads that it is done may need.
        os.sched_yield()
        code = 0
    finally:
        os._exit(code)


# The template


@dataclass(slots=True)
class Child:
    messages: socket.socket
    deadline: float


class Spare(NamedTuple):
    """A child without a job, and where it waits for one."""

    pid: int
    jobs: socket.socket


class Template:
    """Forks children, and kills them when their time is over. `jobs`: where jobs come from."""

    def __init__(self, jobs: socket.socket) -> None:
        self._jobs = jobs
        self._spares: deque[Spare] = deque()
        self._children: dict[int, Child] = {}
        self._selector = selectors.PollSelector()  # epoll would be shared with the children

    def run(self) -> None:
        """Until the socket is closed."""
        ended, wakeup = socket.socketpair()
        for end in (ended, wakeup):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        # Who started this decides when it ends, and closes the socket.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        warm_up()
        gc.freeze()
        for _ in range(SPARES):
            self._fork()
        self._selector.register(ended, selectors.EVENT_READ, lambda: ended.recv(4096))
        self._selector.register(self._jobs, selectors.EVENT_READ, self._take)
        while self._jobs.fileno() >= 0:
            for key, _ in self._selector.select(self._until_deadline()):
                key.data()
            for pid, child in self._children.items():
                if child.deadline <= time.monotonic():
                    os.kill(pid, signal.SIGKILL)
                    child.deadline = math.inf
            self._reap()

    def _until_deadline(self) -> float | None:
        first = min((child.deadline for child in self._children.values()), default=math.inf)
        return None if first == math.inf else max(0.0, first - time.monotonic())

    def _fork(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        template = os.getpid()
        pid = os.fork()
        if pid == 0:
            run_child(template, theirs)
        theirs.close()
        self._spares.append(Spare(pid, ours))

    def _take(self) -> None:
        data, descriptors, _, _ = socket.recv_fds(self._jobs, 4096, 3)
        if not data:
            self._jobs.close()
            return
        source, output, messages = descriptors
        pid = self._hand_over(data, descriptors)
        os.close(source)
        os.close(output)
        child = Child(socket.socket(fileno=messages), time.monotonic() + json.loads(data)["seconds"])
        self._children[pid] = child
        # Nobody sends anything that way. What there is to read is the end, when nobody listens any more.
        self._selector.register(child.messages, selectors.EVENT_READ, partial(self._abandon, pid))

    def _hand_over(self, data: bytes, descriptors: list[int]) -> int:
        """Gives a job to a child that waits for one. Returns its pid."""
        while True:
            if not self._spares:
                self._fork()
            spare = self._spares.popleft()
            with spare.jobs, suppress(OSError):  # It has died.
                socket.send_fds(spare.jobs, [data], descriptors)
                return spare.pid

    def _abandon(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self._selector.unregister(self._children[pid].messages)

    def _reap(self) -> None:
        while True:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            # Without a job it has died, and whoever has a job for it will see.
            if child := self._children.pop(pid, None):
                self._tell_end(child, status, usage)
            if len(self._spares) < SPARES:
                self._fork()

    def _tell_end(self, child: Child, status: int, usage: resource.struct_rusage) -> None:
        message = {
            "ended": os.waitstatus_to_exitcode(status),
            "cpu": usage.ru_utime + usage.ru_stime,
            "max_rss": usage.ru_maxrss,
        }
        with suppress(KeyError):  # It was abandoned.
            self._selector.unregister(child.messages)
        # Nobody listens, or reads so slowly that the child's own messages fill the socket.
        with suppress(OSError), child.messages:
            child.messages.send(json.dumps(message).encode(), socket.MSG_DONTWAIT)


if __name__ == "__main__":
    Template(socket.socket(fileno=int(sys.argv[1]))).run()
