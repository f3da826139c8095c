"""Decoding in child processes: what goes out, whose turn it is, what a child may do, and what happens when a process
is lost.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import gevent
import numpy as np
import pytest
from gevent.event import Event as Flag
from prometheus_client import REGISTRY

from controller.media import decoders as module
from controller.media.decoders import DecodeLimits, Decoders
from controller.media.reasons import AudioFailed
from tests.audio import decode, encode, tone

HOUR = 3600


@contextmanager
def running(processes: int = 2, **limits: float) -> Iterator[Decoders]:
    decoders = Decoders(DecodeLimits(**limits), processes)  # type: ignore[arg-type]
    decoders.start()
    try:
        yield decoders
    finally:
        decoders.stop(30)


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    with running() as decoders:
        yield decoders


@contextmanager
def silence(seconds: int, channels: int = 2) -> Iterator[BinaryIO]:
    """A WAV file that takes no room on the disk, but time to decode: 60 ms a minute."""
    header = bytearray(encode(tone(0, 44100, channels), 44100))
    size = seconds * 44100 * channels * 2
    header[4:8] = (size + 36).to_bytes(4, "little")
    header[40:44] = size.to_bytes(4, "little")
    with tempfile.TemporaryFile() as file:
        file.write(header)
        file.truncate(len(header) + size)
        yield file


class Slow:
    """An hour of silence that a greenlet has decoded. `has_begun` when some of it is."""

    def __init__(self, decoders: Decoders, app_id: str = "slow", seconds: int = HOUR - 1) -> None:
        self.has_begun = Flag()
        self.written: list[int] = []
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.source = ""  # what `source_of` says of its child
        self.greenlet = gevent.spawn(self._run, decoders, app_id, seconds)

    def _run(self, decoders: Decoders, app_id: str, seconds: int) -> int:
        with silence(seconds) as source, self.output:
            self.source = os.readlink(f"/proc/self/fd/{source.fileno()}")
            return decoders.decode(app_id, source, self.output, 8000, self._progress)

    def _progress(self, claimed: int, written: int) -> None:
        self.written.append(written)
        if written:
            self.has_begun.set()


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def decoding(template: int) -> list[int]:
    """The children that have a job. One more waits for one, and has none of its template's descriptors left soon."""
    return [child for child in children_of(template) if source_of(child) not in ("", os.devnull)]


def source_of(child: int) -> str:
    try:
        return os.readlink(f"/proc/{child}/fd/0")
    except OSError:
        return ""


def template(parent: int | None = None) -> int:
    """The newest, should others not have ended yet; waits for it, should it not have begun yet."""
    parent = parent or os.getpid()
    found: list[int] = []

    def is_there() -> list[int]:
        found[:] = [pid for pid in children_of(parent) if b"decode.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return found

    wait_until(is_there)
    return found[-1]


def wait_until(holds: Callable[[], Any], seconds: float = 30) -> None:
    with gevent.Timeout(seconds):
        while not holds():
            gevent.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Ended, whether its parent has taken notice or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("switchroom_media_decodes_total", {"outcome": outcome}) or 0.0


class TestWhatGoesOut:
    def test_a_file_at_the_rate_is_left_as_it_is(self, decoders: Decoders) -> None:
        samples = np.random.default_rng(1).integers(-32768, 32767, (8000, 1), np.int16, endpoint=True)
        decoded = decode(decoders, encode(samples, 8000))
        assert decoded.frames == 8000
        assert (decoded.samples * 32768 == samples[:, 0]).all()

    def test_channels_are_mixed_by_their_mean(self, decoders: Decoders) -> None:
        samples = np.full((8000, 3), (0.5, 0.25, 0.0))
        assert decode(decoders, encode(samples, 8000)).samples == pytest.approx(0.25, abs=1e-4)

    def test_floats_that_are_no_samples_become_silence_or_are_clipped(self, decoders: Decoders) -> None:
        values = [float("nan"), float("inf"), float("-inf"), 1e38, -1e38, 0.5]
        samples = np.array(values * 1000)[:, None]
        for subtype in ("FLOAT", "DOUBLE"):
            decoded = decode(decoders, encode(samples, 8000, subtype=subtype))
            assert decoded.samples[:6] == pytest.approx([0, 1, -1, 1, -1, 0.5], abs=1e-4)

    def test_opposite_infinities_in_two_channels_are_silence(self, decoders: Decoders) -> None:
        samples = np.full((8000, 2), (float("inf"), float("-inf")))
        assert not decode(decoders, encode(samples, 8000, subtype="FLOAT"), 48000).samples.any()

    def test_progress_says_the_length_first_and_then_what_can_be_read(self, decoders: Decoders) -> None:
        decoded = decode(decoders, encode(tone(60, 44100, 2), 44100))
        assert decoded.progress[0] == (480_000, 0)
        written = [frames for _, frames in decoded.progress]
        assert written == sorted(written)
        assert 0 < written[1] < 480_000

    def test_the_callers_position_in_the_file_does_not_matter_and_stays(self, decoders: Decoders) -> None:
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output:
            source.write(encode(tone(1, 8000), 8000))
            source.flush()
            source.seek(100)
            for _ in range(2):
                assert decoders.decode("app", source, output, 8000, lambda *_: None) == 8000
            assert source.tell() == 100
            assert output.tell() == 0

    @pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "W64", "MP3", "OGG"])
    def test_a_file_that_is_still_written_is_decoded_as_it_comes(self, decoders: Decoders, kind: str) -> None:
        content = encode(tone(20, 44100, 2), 44100, kind)
        middle = len(content) // 2
        has_begun = Flag()
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output:
            job = gevent.spawn(
                decoders.decode, "app", source, output, 8000, lambda *_: has_begun.set(), size=len(content)
            )
            try:
                source.write(content[:middle])
                source.flush()
                if kind not in ("MP3", "OGG"):  # whose ends are looked at first
                    assert has_begun.wait(30)
                source.write(content[middle:])
                source.flush()
                assert job.get(timeout=30) == 160_000
            finally:
                job.kill()
            output.seek(0)
            assert output.read() == (decode(decoders, content).samples * 32768).astype("<i2").tobytes()

    def test_two_rates_at_the_same_time_from_one_open_file(self, decoders: Decoders) -> None:
        with silence(60) as source, tempfile.TemporaryFile() as one, tempfile.TemporaryFile() as other:
            jobs = [
                gevent.spawn(decoders.decode, app, source, output, rate, lambda *_: None)
                for app, output, rate in (("one", one, 8000), ("other", other, 48000))
            ]
            assert [job.get() for job in jobs] == [480_000, 2_880_000]

    def test_an_output_that_cannot_be_written_is_no_fault_of_the_file(self, decoders: Decoders) -> None:
        before = counted("unwritten")
        with silence(60) as source, open("/dev/full", "wb") as full, pytest.raises(OSError, match="No space left"):
            decoders.decode("app", source, full, 8000, lambda *_: None)
        assert counted("unwritten") == before + 1

    def test_what_the_progress_raises_ends_the_job(self, decoders: Decoders) -> None:
        def fail(claimed: int, written: int) -> None:
            raise KeyError(written)

        with silence(HOUR - 1) as source, tempfile.TemporaryFile() as output, pytest.raises(KeyError):
            decoders.decode("app", source, output, 8000, fail)
        wait_until(lambda: not decoding(template()))

    def test_what_libsndfile_prints_is_not_taken_for_sound(self, decoders: Decoders) -> None:
        """It prints, to its standard output, when a packet of this format does not begin as it should."""
        whole = encode(tone(10, 8000), 8000, "SDS")
        broken = bytearray(whole)
        for packet in range(21, len(broken), 127):  # behind a header of 21 bytes
            broken[packet] ^= 1
        assert (decode(decoders, bytes(broken)).samples == decode(decoders, whole).samples).all()


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "signal_number"), [({"seconds": 0.2}, signal.SIGKILL), ({"cpu_seconds": 1}, signal.SIGXCPU)]
    )
    def test_a_file_that_takes_too_long_is_given_up(self, limits: dict[str, float], signal_number: int) -> None:
        before = counted("killed")
        with running(**limits) as decoders:
            slow = Slow(decoders)
            with pytest.raises(AudioFailed) as failed:
                slow.greenlet.get()
        assert failed.value.reason == "not_audio"
        assert counted("killed") == before + 1

    def test_a_file_for_which_memory_does_not_suffice_is_given_up(self) -> None:
        with running(memory=0) as decoders, pytest.raises(AudioFailed) as failed:
            decode(decoders, encode(tone(10, 44100, 8), 44100, "FLAC"))
        assert failed.value.reason == "not_audio"

    def test_a_file_that_says_it_is_too_long_is_refused_before_anything_is_written(self, decoders: Decoders) -> None:
        slow = Slow(decoders, seconds=HOUR + 1)
        with pytest.raises(AudioFailed) as failed:
            slow.greenlet.get()
        assert failed.value.reason == "too_long"
        assert slow.written == []

    def test_a_file_as_long_as_allowed_is_decoded(self) -> None:
        with running(max_seconds=2) as decoders:
            assert decode(decoders, encode(tone(2, 44100), 44100)).frames == 16000

    @pytest.mark.parametrize(
        ("form", "rate", "channels", "seconds"),
        [
            (("WAV", "PCM_16"), 96_000, 1, 2.0),
            (("WAV", "PCM_16"), 192_000, 1, 1.0),
            (("FLAC", "PCM_16"), 192_000, 8, 0.125),
            (("OGG", "OPUS"), 48_000, 4, 1.0),
            (("AU", "G721_32"), 48_000, 1, 2 / 3),
            (("WAV", "GSM610"), 8_000, 1, 2.0),
        ],
    )
    def test_a_file_with_many_samples_a_second_may_be_shorter_in_proportion(
        self, form: tuple[str, str], rate: int, channels: int, seconds: float
    ) -> None:
        with running(max_seconds=2) as decoders:
            longest = decode(decoders, encode(tone(seconds - 0.02, rate, channels), rate, *form))
            assert longest.frames == pytest.approx((seconds - 0.02) * 8000, abs=161)  # GSM has blocks of 20 ms
            with pytest.raises(AudioFailed) as failed:
                decode(decoders, encode(tone(seconds + 0.1, rate, channels), rate, *form))
        assert failed.value.reason == "too_long"

    def test_a_file_that_does_not_say_how_many_samples_it_has_is_found_out(self) -> None:
        flac = bytearray(encode(tone(1, 192_000, 8), 192_000, "FLAC"))
        flac[21] &= 0xF0
        flac[22:26] = bytes(4)
        with running(max_seconds=2) as decoders, pytest.raises(AudioFailed) as failed:
            decode(decoders, bytes(flac))
        assert failed.value.reason == "too_long"

    def test_confined_to_its_descriptors(self) -> None:
        """What a child can still do, asked in a process that has confined itself."""
        script = """
import json, os, resource, socket, sys
from controller.media import decode
job = {"rate": 8000, "max_seconds": 10, "cpu_seconds": 7, "memory": 1 << 26}
ours, theirs = socket.socketpair()
jobs, waiting = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
source, output = os.open(sys.argv[1], os.O_RDWR), os.open(sys.argv[2], os.O_RDWR)
socket.send_fds(jobs, [b"job"], [source, output, theirs.fileno()])
template = os.getpid()
if os.fork() == 0:
    waiting = socket.socket(fileno=decode.get_ready(template, waiting))
    secret = os.open(sys.argv[1], os.O_RDONLY)
    decode.confine(job, *socket.recv_fds(waiting, 100, 3)[1])
    said = {}
    for name, attempt in {
        "open": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "connect": lambda: socket.socket(),
        "open in the place of another": lambda: (os.close(2), os.open("/etc/passwd", os.O_RDONLY)),
        "write source": lambda: os.write(decode.SOURCE, b"x"),
        "read output": lambda: os.read(decode.OUTPUT, 1),
        "memory": lambda: bytearray(1 << 27),
        "long output": lambda: [os.write(decode.OUTPUT, bytes(100_000)) for _ in range(3)],
        "raise limits": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (9, 0)),
    }.items():
        try:
            attempt()
            said[name] = "done"
        except (OSError, MemoryError, ValueError) as error:
            said[name] = type(error).__name__
    said["open files"] = []
    for number in range(1000):
        try:
            os.fstat(number)
            said["open files"].append(number)
        except OSError:
            pass
    said["limits"] = [resource.getrlimit(number) for number in (
        resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE
    )]
    os.write(decode.MESSAGES, json.dumps(said).encode())
    os._exit(0)
print(ours.recv(65536).decode())
"""
        with tempfile.NamedTemporaryFile() as source, tempfile.NamedTemporaryFile() as output:
            said = json.loads(
                subprocess.run(
                    [sys.executable, "-c", script, source.name, output.name], stdout=subprocess.PIPE, check=True
                ).stdout
            )
        assert said == {
            "open": "OSError",
            "connect": "OSError",
            "open in the place of another": "OSError",
            "write source": "OSError",
            "read output": "OSError",
            "memory": "MemoryError",
            "long output": "OSError",
            "raise limits": "ValueError",
            "open files": [0, 1, 3, 4],
            "limits": [[7, 7], [160_000, 160_000], [0, 0], [0, 0], [0, 0]],
        }

    def test_nothing_of_the_environment_but_where_to_import_from(self, decoders: Decoders) -> None:
        environment = Path(f"/proc/{template()}/environ").read_bytes().split(b"\0")
        assert {line.partition(b"=")[0] for line in environment if line} == {
            b"PYTHONPATH",
            *(name.encode() for name in module.ONE_THREAD),
        }

    def test_one_thread_and_no_gevent(self, decoders: Decoders) -> None:
        decode(decoders, encode(tone(1, 8000), 8000))  # So it has imported all that it needs.
        pid = template()
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
        assert "gevent" not in Path(f"/proc/{pid}/maps").read_text()


class TestLostProcesses:
    def test_a_killed_template_is_started_again_and_the_file_tried_again(self) -> None:
        with running() as decoders:
            slow = Slow(decoders, seconds=600)
            slow.has_begun.wait()
            os.kill(template(), signal.SIGKILL)
            assert slow.greenlet.get() == 600 * 8000
        assert slow.written == sorted(slow.written)

    def test_a_file_that_is_lost_twice_fails_and_the_next_is_decoded(self) -> None:
        before = counted("lost")
        with running() as decoders:
            slow = Slow(decoders)
            for attempt in range(2):
                slow.has_begun.wait()
                pid = template()
                os.kill(pid, signal.SIGKILL)
                if attempt == 0:
                    wait_until(lambda pid=pid: template() != pid and decoding(template()))
                    slow.has_begun.clear()
            with pytest.raises(AudioFailed) as failed:
                slow.greenlet.get()
            assert failed.value.reason == "timeout"
            assert counted("lost") == before + 2
            assert decode(decoders, encode(tone(1, 8000), 8000)).frames == 8000

    def test_a_frozen_template_is_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
        with running(seconds=5) as decoders:  # in which a new one starts
            decode(decoders, encode(tone(1, 8000), 8000))
            os.kill(template(), signal.SIGSTOP)
            assert decode(decoders, encode(tone(1, 8000), 8000)).frames == 8000

    def test_a_child_that_crashes_takes_nothing_with_it(self, decoders: Decoders) -> None:
        slow, other = Slow(decoders), Slow(decoders, "other", seconds=600)
        slow.has_begun.wait()
        other.has_begun.wait()
        (child,) = [child for child in decoding(template()) if source_of(child) == slow.source]
        os.kill(child, signal.SIGSEGV)
        with pytest.raises(AudioFailed) as failed:
            slow.greenlet.get()
        assert failed.value.reason == "not_audio"
        assert other.greenlet.get() == 600 * 8000

    def test_nothing_outlives_a_parent_that_is_killed(self) -> None:
        script = """
from gevent import monkey
monkey.patch_all()
import sys
from controller.media.decoders import DecodeLimits, Decoders
decoders = Decoders(DecodeLimits())
decoders.start()
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as output:
    decoders.decode("app", source, output, 8000, lambda claimed, written: print(written, flush=True))
"""
        with silence(HOUR - 1) as source, tempfile.TemporaryFile() as output:
            paths = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (source, output)]
            parent = subprocess.Popen([sys.executable, "-c", script, *paths], stdout=subprocess.PIPE)
            assert parent.stdout is not None
            parent.stdout.readline()
            # One decodes, and one waits.
            wait_until(lambda: len(children_of(template(parent.pid))) == 2)
            pids = [template(parent.pid), *children_of(template(parent.pid))]
            parent.kill()
            parent.wait()
            parent.stdout.close()
            for pid in pids:
                wait_until(lambda pid=pid: is_gone(pid))

    def test_a_job_that_nobody_waits_for_any_more_ends(self, decoders: Decoders) -> None:
        slow = Slow(decoders)
        slow.has_begun.wait()
        wait_until(lambda: len(decoding(template())) == 1)
        (child,) = decoding(template())
        slow.greenlet.kill()
        wait_until(lambda: is_gone(child))

    def test_stopping_ends_processes_and_jobs(self) -> None:
        with running(processes=1) as decoders:
            slow, waiting = Slow(decoders), Slow(decoders)
            slow.has_begun.wait()
            pids = [template(), *children_of(template())]
            decoders.stop(30)
            for job in (slow, waiting):
                with pytest.raises(AudioFailed) as failed:
                    job.greenlet.get()
                assert failed.value.reason == "timeout"
            wait_until(lambda: all(map(is_gone, pids)))

    def test_ctrl_c_and_sigterm_are_for_the_parent_to_see(self, decoders: Decoders) -> None:
        decode(decoders, encode(tone(1, 8000), 8000))
        pid = template()
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        decode(decoders, encode(tone(1, 8000), 8000))
        assert template() == pid
        assert os.getpgid(pid) != os.getpgid(0)


class TestTurns:
    def test_one_apps_files_do_not_hold_up_anothers_first(self, decoders: Decoders) -> None:
        files = [Slow(decoders, "one") for _ in range(5)]
        files[0].has_begun.wait()
        assert decode(decoders, encode(tone(1, 8000), 8000), app_id="other").frames == 8000
        assert not any(file.greenlet.ready() for file in files)
        wait_until(lambda: len(decoding(template())) == 1)
        gevent.killall([file.greenlet for file in files])

    def test_a_file_whose_turn_does_not_come_in_time_fails(self) -> None:
        def queued() -> float | None:
            return REGISTRY.get_sample_value("switchroom_media_decodes_queued")

        with running(processes=1, seconds=3) as decoders:
            slow = Slow(decoders)
            slow.has_begun.wait()
            waiting = Slow(decoders)
            gevent.idle()
            assert queued() == 1
            killed = Slow(decoders)
            gevent.idle()
            killed.greenlet.kill()
            assert queued() == 1
            frozen = [template(), *decoding(template())]
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)  # The first keeps its place.
            with pytest.raises(AudioFailed) as failed:
                waiting.greenlet.get()
            assert failed.value.reason == "timeout"
            assert waiting.written == []
            assert queued() == 0
            for pid in frozen:
                with suppress(ProcessLookupError):  # It may be out of time itself by now.
                    os.kill(pid, signal.SIGCONT)
