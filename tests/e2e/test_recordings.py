"""Recordings from the command to their files, whatever ends meanwhile: a worker, a relay, the node."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Dial
from tests.e2e.nodes import REAL, BootedNode, Node
from tests.e2e.relayed import UP_SECONDS, Relayed
from tests.e2e.site import Site, until
from tests.e2e.system import Bucket, Receiver, Switchroom

CHUNK_BYTES = 65536
CONFERENCES, RECORDINGS = "/api/v1/conferences", "/api/v1/recordings"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    bucket = Bucket()
    yield bucket
    bucket.close()


@pytest.fixture
def apart(tmp_path: Path, own_node: Node) -> Iterator[Relayed]:
    """The API and the dispatcher run; workers and relays are started by the test."""
    apart = Relayed(tmp_path, own_node)
    apart.start("api", "dispatcher")
    yield apart
    apart.close()


def record(service: Switchroom, hooks: Receiver, room: str, **body: Any) -> str:
    """Begins to record a room. -> the recording's id, once it has begun."""
    answer = service.post(f"{CONFERENCES}/{room}/commands/record", body)
    assert answer.status == 202, answer
    recording = str(answer.body["recording_id"])
    hooks.wait("conference.recording.started", recording_id=recording)
    return recording


def stop(service: Switchroom, recording: str) -> None:
    answer = service.post(f"{RECORDINGS}/{recording}/commands/stop")
    assert answer.status == 202, answer


def fetch(service: Switchroom, recording: str) -> bytes:
    return service.file(f"{RECORDINGS}/{recording}/content")


def assert_sound(data: bytes, duration: float) -> None:
    """The file is a whole WAV that plays for so long."""
    with wave.open(io.BytesIO(data)) as sound:
        assert len(sound.readframes(sound.getnframes())) == sound.getnframes() * sound.getnchannels() * 2
        assert sound.getnframes() / sound.getframerate() == pytest.approx(duration, abs=0.01)


def test_a_recording_is_put_where_the_app_wants_it(
    room_service: Switchroom, hooks: Receiver, dial: Dial, new_room: Any, join: Any, bucket: Bucket
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    bucket.refuses = 1
    recording = record(room_service, hooks, room, upload_url=bucket.url("standup.wav"))
    stop(room_service, recording)
    available = hooks.wait("conference.recording.available", recording_id=recording)
    assert available["uploaded"] is True
    assert len(bucket.files["standup.wav"]) == available["size"]
    assert_sound(bucket.files["standup.wav"], available["duration"])
    shown = room_service.get(f"{RECORDINGS}/{recording}").body
    assert (shown["state"], shown["uploaded"], shown["upload_attempts"]) == ("available", True, 2)
    gone = room_service.get(f"{RECORDINGS}/{recording}/content")
    assert (gone.status, gone.headers["x-error-code"]) == (410, "recording_gone")


def test_a_recording_waits_for_a_relay_and_takes_the_one_that_lives(apart: Relayed) -> None:
    first = apart.start("media")
    apart.start("worker")
    apart.api.wait_up(timeout=UP_SECONDS)
    room = apart.room()
    recording = record(apart.api, apart.hooks, room)
    first.stop(signal.SIGKILL)
    stop(apart.api, recording)
    apart.hooks.wait("conference.recording.stopped", recording_id=recording)
    assert apart.api.get(f"{RECORDINGS}/{recording}").body["state"] == "storing"
    apart.start("media")
    available = apart.hooks.wait("conference.recording.available", 60, recording_id=recording)
    assert_sound(fetch(apart.api, recording), available["duration"])


def test_a_worker_that_is_killed_loses_no_recording(apart: Relayed) -> None:
    apart.start("media")
    worker = apart.start("worker")
    apart.api.wait_up(timeout=UP_SECONDS)
    room = apart.room()
    recording = record(apart.api, apart.hooks, room)
    worker.stop(signal.SIGKILL)
    apart.start("worker")
    apart.api.wait_up(timeout=UP_SECONDS)
    stop(apart.api, recording)
    available = apart.hooks.wait("conference.recording.available", 60, recording_id=recording)
    assert_sound(fetch(apart.api, recording), available["duration"])


def test_a_relay_that_was_restarted_still_has_its_recordings(apart: Relayed) -> None:
    relay = apart.start("media")
    apart.start("worker")
    apart.api.wait_up(timeout=UP_SECONDS)
    room = apart.room()
    recording = record(apart.api, apart.hooks, room)
    stop(apart.api, recording)
    available = apart.hooks.wait("conference.recording.available", recording_id=recording)
    relay.stop(signal.SIGKILL)
    apart.start("media")  # on another port
    assert_sound(fetch(apart.api, recording), available["duration"])


@pytest.mark.skipif(REAL not in ("", "boot"), reason="whoever started that FreeSWITCH may need it")
def test_what_a_node_recorded_until_it_was_killed_is_fetched_when_it_is_back(apart: Relayed) -> None:
    apart.start("media")
    apart.start("worker")
    apart.api.wait_up(timeout=UP_SECONDS)
    room = apart.room()
    recording = record(apart.api, apart.hooks, room)
    wait_for_sound(apart.node, recording)
    apart.node.die()
    apart.node.revive()
    stopped = apart.hooks.wait("conference.recording.stopped", 60, recording_id=recording)
    assert stopped["reason"] == "node_lost"
    available = apart.hooks.wait("conference.recording.available", 60, recording_id=recording)
    assert_sound(fetch(apart.api, recording), available["duration"])


@pytest.mark.skipif(REAL not in ("", "boot"), reason="needs several nodes of its own")
@pytest.mark.parametrize("by_itself", [True, False])
def test_a_room_that_moves_keeps_what_was_recorded_before(site: Site, by_itself: bool) -> None:
    """`by_itself`: the room has the option `record`, so its new node records it, too."""
    room, (source, other, _) = site.room()
    path = f"{CONFERENCES}/{room}"
    if by_itself:
        assert site.service.request("PATCH", path, {"record": True}).status == 200
    for prefix in (source, other):
        site.join(site.call(prefix), room)
    if not by_itself:
        record(site.service, site.hooks, room)
    first = str(site.hooks.wait("conference.recording.started", room_id=room)["recording_id"])
    assert site.service.get(path).body["recording"] == {"recording_id": first, "state": "recording"}
    wait_for_sound(site.nodes[source], first)
    site.nodes[source].die()
    try:
        assert site.hooks.wait("conference.recording.stopped", 60, recording_id=first)["reason"] == "node_lost"
        until(lambda: site.bridges(room)[other] == "source", 60)
        # Its file is still on a node that is away.
        assert site.service.get(f"{RECORDINGS}/{first}").body["state"] == "storing"
        second = goes_on(site, room) if by_itself else None
    finally:
        site.nodes[source].revive()
    available = site.hooks.wait("conference.recording.available", 60, recording_id=first)
    assert_sound(fetch(site.service, first), available["duration"])
    assert told(site.hooks, first) == ["started", "stopped", "available"]
    if second:
        wait_for_sound(site.nodes[other], second)
        stop(site.service, second)
        assert site.hooks.wait("conference.recording.stopped", recording_id=second)["reason"] == "asked"
        available = site.hooks.wait("conference.recording.available", recording_id=second)
        assert_sound(fetch(site.service, second), available["duration"])
        assert told(site.hooks, second) == ["started", "stopped", "available"]
    assert site.service.get(path).body["recording"] is None
    recordings = site.service.get(f"{RECORDINGS}?room_id={room}").body["recordings"]
    assert [each["recording_id"] for each in recordings] == [each for each in (first, second) if each]
    site.service.request("DELETE", path)


def goes_on(site: Site, room: str) -> str:
    """The recording of a room, once its node has begun it."""

    def shown() -> dict[str, str]:
        return site.service.get(f"{CONFERENCES}/{room}").body["recording"] or {}

    until(lambda: shown().get("state") == "recording", 60)
    return shown()["recording_id"]


def told(hooks: Receiver, recording: str) -> list[str]:
    """What the webhooks about it say, in the order of their numbers."""
    found = sorted(hooks.of(recording_id=recording), key=lambda hook: hook["data"]["sequence"])
    return [hook["type"].rpartition(".")[2] for hook in found]


def wait_for_sound(node: Node, recording: str) -> None:
    """Until the node's file has some that outlives the node. A real one writes 64 KiB at a time."""
    if isinstance(node, BootedNode):
        file = node.freeswitch.folder / "recordings" / f"{recording}.wav"
        until(lambda: file.exists() and file.stat().st_size > CHUNK_BYTES)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A folder on a disk of its own, which the function that it gives makes larger. Skips where none can be made."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True) and None
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.freeswitch
def test_what_a_node_recorded_until_its_disk_was_full_is_kept(apart: Relayed) -> None:
    apart.start("media")
    apart.start("worker")
    apart.api.wait_up(timeout=UP_SECONDS)
    assert isinstance(apart.node, BootedNode)
    with small_disk(apart.node.freeswitch.folder / "recordings", "100k"):
        room = apart.room()
        recording = record(apart.api, apart.hooks, room)
        stopped = apart.hooks.wait("conference.recording.stopped", 60, recording_id=recording)
        assert stopped["reason"] == "write_failed"
        available = apart.hooks.wait("conference.recording.available", 60, recording_id=recording)
    assert_sound(fetch(apart.api, recording), available["duration"])


def test_a_recording_waits_for_room_on_the_disk_of_a_relay(apart: Relayed) -> None:
    folder = apart.api.folder / "data" / "recordings"
    folder.mkdir()
    with small_disk(folder, "1m") as resize:
        apart.start("media")
        apart.start("worker")
        apart.api.wait_up(timeout=UP_SECONDS)
        room = apart.room()
        recording = record(apart.api, apart.hooks, room)
        stop(apart.api, recording)
        until(lambda: "no room for recordings" in (apart.api.folder / "log").read_text())
        assert apart.api.get(f"{RECORDINGS}/{recording}").body["state"] == "storing"
        resize("200m")
        available = apart.hooks.wait("conference.recording.available", 60, recording_id=recording)
        assert_sound(fetch(apart.api, recording), available["duration"])
