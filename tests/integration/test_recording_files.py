"""The file of a recording, from a node's PUT to a relay to where its app wants it, with a real store, disk and HTTP."""

from __future__ import annotations

import errno
import io
import socket
import wave
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import orjson
import pytest
from flask.testing import FlaskClient
from gevent.event import Event as Flag
from gevent.pywsgi import WSGIServer
from gevent.server import StreamServer
from geventhttpclient import HTTPClient
from structlog.testing import capture_logs

from controller.errors import ScriptFailed, StoreUnavailable
from controller.media.links import MIN_SECONDS, Links
from controller.media.relays import RelayPresence, Relays
from controller.outbound.network import Network
from controller.recordings import folder as folders
from controller.recordings import upload as uploads
from controller.recordings.folder import Folder
from controller.recordings.keeper import Keeper
from controller.recordings.places import RecordingPlaces
from controller.recordings.upload import Uploader
from controller.registry import Registry, new_app
from controller.store import keys
from controller.store.states import RECORDING_STATES
from tests.integration.api_process import KEY as API_KEY
from tests.integration.api_process import Api
from tests.open_store import OpenStore
from tests.unit.web_fakes import FakeStreams
from web.app import create_app
from web.recording_files import RecordingFiles
from web.server import Server

KEY = b"the key of all relays and workers"
APP = "demo"
TAG = keys.partition_of(APP)
ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
SESSION = "acW68-7f3d2c1b-0a9e-4d8c-b7f6-5e4d3c2b1a09"
RECORDING = "0f8fad5bd9cb469fa16570867728950e"
OTHER_RECORDING = "1f8fad5bd9cb469fa16570867728950e"
MAX_BYTES = 1 << 24
A_DAY = 86400.0


def tone(seconds: float = 1.0, rate: int = 8000) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(b"\x00\x10\x00\xf0" * int(seconds * rate / 2))
    return content.getvalue()


FILE = tone()


class Bucket:
    """Where an app wants its recordings. It answers with `statuses` in their order, and from then on with the last."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.asked: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.may_answer = Flag()
        self.may_answer.set()
        self._server = WSGIServer(("127.0.0.1", 0), self._serve, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/recordings/1.wav?X-Signature=secret%2F1"

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.asked.append(environ)
        self.bodies.append(environ["wsgi.input"].read())
        self.may_answer.wait()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        start_response(f"{status} X", [("Location", "http://127.0.0.1:1/elsewhere")])
        return []

    def stop(self) -> None:
        self.may_answer.set()
        self._server.stop(1)


class RunningRelay:
    def __init__(self, store: OpenStore, path: Path, **options: Any) -> None:
        self.folder = Folder(path, min_free=options.pop("min_free", 0), clock=options.pop("clock", gevent.time.time))
        network = options.pop("network", None) or Network(allow_private=True)
        options = {"keep_seconds": A_DAY, "delays": (0.01, 0.01), **options}
        self.keeper = Keeper(store, self.folder, Uploader(network), **options)
        self.files = RecordingFiles(self.folder, self.keeper, Links(KEY), MAX_BYTES)
        self.server = Server(self.files, "127.0.0.1", 0, streamed=self.files.takes)
        self.server.start()
        self.address = "{}:{}".format(*self.server.address)
        self.presence = RelayPresence(store, self.address, self.folder.holder)
        self.presence.start()

    @property
    def paths(self) -> list[Path]:
        return sorted(self.folder._path.glob("*.*"))

    def stop(self) -> None:
        self.presence.stop(1)
        self.keeper.stop(1)
        self.server.stop(0.1)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    bucket = Bucket()
    yield bucket
    bucket.stop()


@pytest.fixture
def start(store: OpenStore, tmp_path: Path) -> Iterator[Callable[..., RunningRelay]]:
    running: list[RunningRelay] = []

    def start(folder: str = "recordings", **options: Any) -> RunningRelay:
        running.append(RunningRelay(store, tmp_path / folder, **options))
        return running[-1]

    yield start
    for relay in running:
        relay.stop()


@pytest.fixture
def relay(start: Callable[..., RunningRelay]) -> RunningRelay:
    return start()


def put_record(store: OpenStore, recording_id: str = RECORDING, app: str = APP, **fields: Any) -> None:
    """A recording as it is once its node has stopped."""
    tag = keys.partition_of(app)
    record = {"app": app, "node": "acW68", "room": ROOM, "state": "storing", "channels": 1, "created_at": 1, **fields}
    store.client.hset(keys.key(tag, "recording", recording_id), mapping={k: v for k, v in record.items() if v != ""})
    store.client.zadd(keys.key(tag, "recordings", app), {recording_id: store.client.incr(keys.key(tag, "order"))})


def record_of(store: OpenStore, recording_id: str = RECORDING) -> dict[str, str]:
    found = store.client.hgetall(keys.key(TAG, "recording", recording_id))
    return {name.decode(): value.decode() for name, value in found.items()}


def emitted(store: OpenStore) -> list[tuple[str, dict[str, Any]]]:
    entries = store.client.xrange(keys.key(TAG, "outbox"))
    return [(fields[b"type"].decode(), orjson.loads(fields[b"data"])) for _, fields in entries]


def used(store: OpenStore) -> int:
    return int(store.client.hget(keys.key(TAG, "usage", APP), "recording_bytes") or 0)


def put(relay: RunningRelay, body: bytes = FILE, recording_id: str = RECORDING, **headers: str) -> int:
    """As a node does it. Returns the status."""
    link = Links(KEY).recording_link("PUT", TAG, recording_id, gevent.time.time())
    return ask(relay, "PUT", link, body, **headers)[0]


def ask(relay: RunningRelay, method: str, link: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    host, port = relay.server.address
    with closing(HTTPClient(host, port, network_timeout=30)) as client:
        response = client.request(method, link, body=body, headers=headers)
        return response.status_code, bytes(response.read())


def away(*_: Any) -> Any:
    raise StoreUnavailable("away")


def make_due(store: OpenStore, relay: RunningRelay) -> None:
    """As if it were as late as anything is due."""
    key = keys.key(TAG, "kept", relay.folder.holder)
    for recording_id in store.client.zrange(key, 0, -1):
        store.client.zadd(key, {recording_id: 1})


def finish(relay: RunningRelay) -> None:
    """Does what is due, until it is done."""
    relay.keeper.look()
    relay.keeper._uploads.join()


# A node sends it


def test_a_file_that_a_node_sends_is_available(store: OpenStore, relay: RunningRelay) -> None:
    put_record(store)
    assert put(relay) == 200
    record = record_of(store)
    assert (record["state"], record["size"], record["length_ms"]) == ("available", str(len(FILE)), "1000")
    assert record["holder"] == relay.folder.holder
    (webhook,) = emitted(store)
    assert webhook == (
        "conference.recording.available",
        {
            "app_id": APP,
            "room_id": ROOM,
            "recording_id": RECORDING,
            "sequence": 1,
            "duration": 1,
            "size": len(FILE),
            "uploaded": False,
        },
    )
    assert used(store) == len(FILE)
    assert [path.name for path in relay.paths] == [f"{RECORDING}.wav"]
    assert relay.paths[0].read_bytes() == FILE


def test_a_file_whose_node_was_killed_is_mended(store: OpenStore, relay: RunningRelay) -> None:
    put_record(store)
    assert put(relay, FILE[:4] + bytes(4) + FILE[8:40] + bytes(4) + FILE[44:]) == 200
    assert relay.paths[0].read_bytes() == FILE
    assert record_of(store)["length_ms"] == "1000"


def test_a_file_may_come_twice_and_to_two_relays(store: OpenStore, start: Callable[..., RunningRelay]) -> None:
    first, second = start("one"), start("two")
    put_record(store)
    assert [put(first), put(first), put(second)] == [200, 200, 200]
    assert len(emitted(store)) == 1
    assert used(store) == len(FILE)
    assert [path.name for path in first.paths] == [f"{RECORDING}.wav"]
    assert second.paths == []


@pytest.mark.parametrize("is_told", [True, False])
def test_a_file_that_is_there_is_not_replaced(
    store: OpenStore, relay: RunningRelay, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    """The link by which it came may be used again while it is good."""
    put_record(store)
    if not is_told:
        monkeypatch.setattr(store, "run_each", away)
    assert put(relay) == (200 if is_told else 503)
    monkeypatch.undo()
    assert put(relay, tone(2.0)) == 200
    assert [path.read_bytes() for path in relay.paths] == [FILE]
    record = record_of(store)
    assert (record["state"], record["size"], record["length_ms"]) == ("available", str(len(FILE)), "1000")


@pytest.mark.parametrize("fields", [None, {"state": "failed"}, {"deleted": 1}, {"state": "expired"}])
def test_a_file_that_nobody_wants_is_dropped(
    store: OpenStore, relay: RunningRelay, fields: dict[str, Any] | None
) -> None:
    if fields:
        put_record(store, **fields)
    assert put(relay) == 200
    assert relay.paths == []
    assert emitted(store) == []


def test_a_file_without_sound_has_failed(store: OpenStore, relay: RunningRelay) -> None:
    put_record(store)
    assert put(relay, tone(0)) == 200
    assert relay.paths == []
    assert record_of(store)["state"] == "failed"
    assert [(type_, data["reason"]) for type_, data in emitted(store)] == [("conference.recording.failed", "file_lost")]


@pytest.mark.parametrize(
    ("link", "status"),
    [
        (lambda links, now: links.recording_link("PUT", TAG, RECORDING, now - MIN_SECONDS - 2), 404),
        (lambda links, now: links.recording_link("GET", TAG, RECORDING, now), 404),
        (lambda links, now: links.recording_link("PUT", TAG, RECORDING, now).replace("0f8f", "0f80"), 404),
        (lambda links, now: links.recording_link("PUT", TAG, RECORDING, now).replace("/p", "/p1", 1), 404),
        (lambda _links, now: Links(b"other").recording_link("PUT", TAG, RECORDING, now), 404),
        (lambda _links, _now: f"/recordings/p00/{RECORDING}.wav", 404),
        (lambda _links, _now: "/recordings/../../etc/passwd", 404),
    ],
)
def test_a_link_is_good_for_one_recording_and_one_thing(
    store: OpenStore, relay: RunningRelay, link: Callable[[Links, float], str], status: int
) -> None:
    put_record(store)
    # A body that is not read by a stranger's request is small.
    assert ask(relay, "PUT", link(Links(KEY), gevent.time.time()), b"x" * 100)[0] == status
    assert relay.paths == []
    assert record_of(store)["state"] == "storing"


def test_a_file_of_a_stranger_is_not_even_read(relay: RunningRelay) -> None:
    link = Links(b"other").recording_link("PUT", TAG, RECORDING, gevent.time.time())
    with closing(socket.create_connection(relay.server.address)) as client:
        client.sendall(f"PUT {link} HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n".encode())
        assert client.recv(1024).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("body", [b"<html>no</html>" * 100, b"RIFF" * 10])
def test_what_is_no_wav_is_not_taken(store: OpenStore, relay: RunningRelay, body: bytes) -> None:
    put_record(store)
    assert put(relay, body) == 422
    assert relay.paths == []
    assert record_of(store)["state"] == "storing"


def test_a_full_disk_says_so_before_anything_is_sent(store: OpenStore, start: Callable[..., RunningRelay]) -> None:
    relay = start(min_free=1 << 60)
    put_record(store)
    link = Links(KEY).recording_link("PUT", TAG, RECORDING, gevent.time.time())
    with closing(socket.create_connection(relay.server.address)) as client:
        head = f"PUT {link} HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(1024).startswith(b"HTTP/1.1 507 ")
    assert record_of(store)["state"] == "storing"
    assert relay.paths == []


def test_files_that_come_at_once_leave_room_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 1 << 20
    # Two processes share a folder on a disk that has room for five, and for the one that stays free.
    sharing = [Folder(tmp_path / "recordings", min_free=size) for _ in range(2)]

    def usage(path: Path) -> Any:
        taken = 0
        for file in path.glob("*.part"):
            # One that was refused may be gone by now.
            with suppress(FileNotFoundError):
                taken += file.stat().st_blocks * 512
        return SimpleNamespace(free=6 * size + size // 2 - taken)

    monkeypatch.setattr(folders.shutil, "disk_usage", usage)
    may_come, arriving = Flag(), Counts[str]()

    def read(_size: int) -> bytes:
        arriving["taken"] += 1
        may_come.wait()
        return b""

    def receive(number: int) -> None:
        try:
            sharing[number % 2].receive(f"{number:032x}", size, read)
        except ConnectionError:
            arriving["broke off"] += 1
        except OSError as error:
            arriving[errno.errorcode[error.errno]] += 1

    sent = [gevent.spawn(receive, number) for number in range(8)]
    while arriving.total() < len(sent):
        gevent.sleep(0.01)
    assert arriving == {"taken": 5, "ENOSPC": 3}
    may_come.set()
    gevent.joinall(sent, raise_error=True)
    assert arriving["broke off"] == 5
    assert list((tmp_path / "recordings").glob("*.part")) == []


def test_a_disk_that_fills_meanwhile_leaves_nothing(
    store: OpenStore, relay: RunningRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = open

    def full(path: Any, mode: str = "r", **options: Any) -> Any:
        if "x" not in mode:
            return real(path, mode, **options)
        real(path, mode, **options).close()
        return real("/dev/full", "wb+")

    monkeypatch.setattr(folders, "open", full, raising=False)
    monkeypatch.setattr(folders.os, "posix_fallocate", lambda *_: None)
    put_record(store)
    assert put(relay) == 507
    assert relay.paths == []
    monkeypatch.undo()
    assert put(relay) == 200


def test_a_file_that_breaks_off_leaves_nothing(store: OpenStore, relay: RunningRelay) -> None:
    put_record(store)
    link = Links(KEY).recording_link("PUT", TAG, RECORDING, gevent.time.time())
    with closing(socket.create_connection(relay.server.address)) as client:
        client.sendall(f"PUT {link} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(FILE)}\r\n\r\n".encode() + FILE[:5000])
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1024).startswith(b"HTTP/1.1 400 ")
    assert relay.paths == []
    assert record_of(store)["state"] == "storing"


def test_a_file_that_is_too_large_is_not_taken(store: OpenStore, relay: RunningRelay) -> None:
    put_record(store)
    link = Links(KEY).recording_link("PUT", TAG, RECORDING, gevent.time.time())
    with closing(socket.create_connection(relay.server.address)) as client:
        client.sendall(f"PUT {link} HTTP/1.1\r\nHost: a\r\nContent-Length: {MAX_BYTES + 1}\r\n\r\n".encode())
        assert client.recv(1024).startswith(b"HTTP/1.1 413 ")


def test_a_file_that_the_store_was_not_told_of_comes_again(
    store: OpenStore, relay: RunningRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_record(store)
    monkeypatch.setattr(store, "run_each", away)
    assert put(relay) == 503
    monkeypatch.undo()
    assert put(relay) == 200
    assert record_of(store)["state"] == "available"


# To which relay


def test_a_node_is_sent_to_a_relay_that_lives(store: OpenStore, start: Callable[..., RunningRelay]) -> None:
    places = RecordingPlaces(Relays(store), Links(KEY))
    assert places.upload_url(APP, RECORDING) is None
    relay = start()
    RelayPresence(store, "192.0.2.1:8090")._publish(8)  # one of the version before: it keeps none
    url = RecordingPlaces(Relays(store), Links(KEY)).upload_url(APP, RECORDING)
    assert url
    assert url.startswith(f"http://{relay.address}/recordings/{TAG.strip('{}')}/{RECORDING}.wav?expires=")
    put_record(store)
    assert ask(relay, "PUT", url.removeprefix(f"http://{relay.address}"), FILE)[0] == 200


# To its app's URL


def test_a_file_is_put_where_the_app_wants_it(store: OpenStore, relay: RunningRelay, bucket: Bucket) -> None:
    put_record(store, upload_url=bucket.url, room="", session=SESSION, did="1", caller_id="2")
    assert put(relay) == 200
    assert record_of(store)["state"] == "uploading"
    assert emitted(store) == []
    finish(relay)
    assert bucket.bodies == [FILE]
    asked = bucket.asked[0]
    assert (asked["REQUEST_METHOD"], asked["PATH_INFO"]) == ("PUT", "/recordings/1.wav")
    assert asked["QUERY_STRING"] == "X-Signature=secret%2F1"
    assert (asked["CONTENT_TYPE"], asked["CONTENT_LENGTH"]) == ("audio/wav", str(len(FILE)))
    ((type_, data),) = emitted(store)
    assert (type_, data["uploaded"], data["uuid"]) == ("session.recording.available", True, SESSION)
    assert relay.paths == []
    record = record_of(store)
    assert (record["state"], record["uploaded"]) == ("available", "1")
    assert "upload_url" not in record
    assert used(store) == 0


def test_an_upload_is_tried_again(store: OpenStore, relay: RunningRelay, bucket: Bucket) -> None:
    bucket.statuses = [503, 200]
    put_record(store, upload_url=bucket.url)
    put(relay)
    finish(relay)
    record = record_of(store)
    assert (record["state"], record["attempts"], record["http_status"]) == ("uploading", "1", "503")
    assert emitted(store) == []
    make_due(store, relay)
    finish(relay)
    assert bucket.bodies == [FILE, FILE]
    record = record_of(store)
    assert record["state"] == "available"
    assert "http_status" not in record


@pytest.mark.parametrize("status", [403, 302, 500])
def test_an_upload_is_given_up_and_the_file_can_be_fetched(
    store: OpenStore, relay: RunningRelay, bucket: Bucket, status: int
) -> None:
    bucket.statuses = [status]
    put_record(store, upload_url=bucket.url)
    put(relay)
    for _ in range(3):
        make_due(store, relay)
        finish(relay)
    assert len(bucket.bodies) == 3
    ((type_, data),) = emitted(store)
    assert (type_, data["reason"], data["http_status"]) == ("conference.recording.failed", "upload_failed", status)
    assert record_of(store)["state"] == "failed"
    assert relay.paths[0].read_bytes() == FILE
    # Its time begins now.
    finish(relay)
    assert relay.paths != []
    make_due(store, relay)
    finish(relay)
    assert relay.paths == []
    assert record_of(store)["state"] == "failed"
    assert used(store) == 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://nobody.invalid/", "http://10.0.0.1/", "http://169.254.169.254/latest"]
)
def test_an_upload_that_leads_nowhere_has_no_status(
    store: OpenStore, start: Callable[..., RunningRelay], url: str
) -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise socket.gaierror

    relay = start(network=Network(resolve=resolve), delays=())
    put_record(store, upload_url=url)
    put(relay)
    with capture_logs() as logs:
        finish(relay)
    ((_, data),) = emitted(store)
    assert data["reason"] == "upload_failed"
    assert "http_status" not in data
    assert url not in str(logs)


def test_a_response_that_drips_is_not_waited_for(
    store: OpenStore, relay: RunningRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.5)
    asked = []

    def drip(sock: socket.socket, _address: tuple[str, int]) -> None:
        asked.append(sock)
        # After which it would have been an upload.
        with suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 30 + b"\r\n\r\n":
                sock.sendall(bytes([byte]))
                gevent.sleep(0.05)

    server = StreamServer(("127.0.0.1", 0), drip)
    server.start()
    try:
        put_record(store, upload_url=f"http://127.0.0.1:{server.server_port}/")
        put(relay)
        finish(relay)
    finally:
        server.stop()
    assert asked
    assert record_of(store)["state"] == "uploading"


def test_an_upload_goes_on_at_another_process(
    store: OpenStore, start: Callable[..., RunningRelay], bucket: Bucket
) -> None:
    first, second = start(), start()
    assert first.folder.holder == second.folder.holder
    bucket.may_answer.clear()
    put_record(store, upload_url=bucket.url)
    put(first)
    first.keeper.look()
    while not bucket.bodies:
        gevent.sleep(0)
    finish(second)
    assert len(bucket.bodies) == 1  # it is the first one's
    first.keeper.stop(1)
    bucket.may_answer.set()
    make_due(store, first)
    finish(second)
    assert bucket.bodies == [FILE, FILE]
    assert record_of(store)["state"] == "available"


def test_what_an_old_attempt_says_does_not_count(store: OpenStore, relay: RunningRelay, bucket: Bucket) -> None:
    put_record(store, upload_url=bucket.url)
    put(relay)
    store.client.hset(keys.key(TAG, "recording", RECORDING), "attempts", 2)
    late = {"recording_id": RECORDING, "attempt": 1, "is_success": True, "http_status": 200}
    assert relay.keeper._step("recording_uploaded", TAG, late) == {"is_gone": False}
    assert record_of(store)["state"] == "uploading"


def test_one_app_does_not_keep_others_waiting(store: OpenStore, relay: RunningRelay, bucket: Bucket) -> None:
    bucket.may_answer.clear()
    ids = [f"{number:032x}" for number in range(6)]
    for recording_id in ids:
        put_record(store, recording_id, upload_url=bucket.url)
        put(relay, recording_id=recording_id)
    relay.keeper.look()
    assert len(relay.keeper._uploads) == 4
    bucket.may_answer.set()
    relay.keeper._uploads.join()
    make_due(store, relay)
    finish(relay)
    assert len(bucket.bodies) == 6


# Until its time is over


def test_a_file_goes_when_its_time_is_over_and_its_record_later(store: OpenStore, relay: RunningRelay) -> None:
    put_record(store)
    put(relay)
    finish(relay)
    assert relay.paths != []
    make_due(store, relay)
    finish(relay)
    assert relay.paths == []
    assert record_of(store)["state"] == "expired"
    assert used(store) == 0
    store.client.zadd(keys.key(TAG, "recording_ends"), {RECORDING: 1})
    finish(relay)
    assert record_of(store) == {}
    assert store.client.zcard(keys.key(TAG, "recordings", APP)) == 0


@pytest.mark.parametrize("state", ["available", "uploading"])
def test_a_recording_whose_relay_never_comes_back_is_forgotten(
    store: OpenStore, start: Callable[..., RunningRelay], bucket: Bucket, state: str
) -> None:
    gone, other = start("one"), start("two")
    put_record(store, upload_url=bucket.url if state == "uploading" else "")
    put(gone)
    assert record_of(store)["state"] == state
    finish(other)
    assert record_of(store) != {}
    store.client.zadd(keys.key(TAG, "recording_ends"), {RECORDING: 1})
    finish(other)
    assert record_of(store) == {}
    assert used(store) == 0
    assert store.client.zcard(keys.key(TAG, "kept", gone.folder.holder)) == 0
    last = emitted(store)[-1]
    assert last[0] == f"conference.recording.{'failed' if state == 'uploading' else 'available'}"


def asked(relay: RunningRelay, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The partitions of which it is asked what is due, from now on."""
    found: list[str] = []
    look_at = relay.keeper._look_at

    def noted(tag: str) -> None:
        found.append(tag)
        look_at(tag)

    monkeypatch.setattr(relay.keeper, "_look_at", noted)
    return found


def test_a_relay_asks_little_while_nothing_is_recorded(
    store: OpenStore, relay: RunningRelay, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = asked(relay, monkeypatch)
    relay.keeper.look_around()
    assert set(tags) == set(keys.TAGS)
    tags.clear()
    # Each has its turn.
    for _ in keys.TAGS:
        relay.keeper.look_around()
    assert sorted(tags) == sorted(keys.TAGS)
    # What has come is due at once, and what fails as soon as that is known.
    bucket.statuses = [500, 200]
    put_record(store, upload_url=bucket.url)
    assert put(relay) == 200
    for _ in range(2):
        tags.clear()
        relay.keeper.look_around()
        assert TAG in tags
        relay.keeper._uploads.join()
        make_due(store, relay)
    assert record_of(store)["uploaded"] == "1"
    # One that waits is known to.
    put_record(store, OTHER_RECORDING)
    assert put(relay, recording_id=OTHER_RECORDING) == 200
    relay.keeper.look_around()
    in_seconds = relay.keeper._due[TAG] - gevent.time.monotonic()
    assert A_DAY - 100 < in_seconds <= A_DAY


def test_what_came_of_an_upload_is_told_later_after_a_fault_of_the_store(
    store: OpenStore, relay: RunningRelay, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = relay.keeper._step

    def fails(script: str, *args: Any) -> Any:
        if script == "recording_uploaded":
            raise ScriptFailed("recording_uploaded: a fault")
        return step(script, *args)

    put_record(store, upload_url=bucket.url)
    put(relay)
    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(relay.keeper, "_step", fails)
        finish(relay)
    assert [line["event"] for line in logged] == ["what came of an upload is not stored"]
    make_due(store, relay)
    finish(relay)
    assert record_of(store)["state"] == "available"


def test_what_was_not_looked_at_for_a_fault_is_looked_at_again(
    relay: RunningRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.keeper.look()
    relay.keeper._look_soon(TAG)

    def away(*_: Any) -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(relay.keeper, "_step", away)
    with pytest.raises(StoreUnavailable):
        relay.keeper.look([TAG])
    assert relay.keeper._due[TAG] == 0


def test_what_nobody_knows_goes_after_a_day(store: OpenStore, start: Callable[..., RunningRelay]) -> None:
    now = gevent.time.time()
    relay = start(clock=lambda: now)
    put_record(store)
    put(relay)
    unknown = relay.folder._path / f"{'a' * 32}.wav"
    part = relay.folder._path / f"{'b' * 32}.0123.part"
    theirs = relay.folder._path / "notes.txt"
    for path in (unknown, part, theirs):
        path.write_bytes(FILE)
    relay.keeper.tidy()
    assert len(relay.paths) == 4
    now += 2 * A_DAY
    relay.keeper.tidy()
    assert [path.name for path in relay.paths] == [f"{RECORDING}.wav", "notes.txt"]


def test_a_broken_record_holds_up_no_other(store: OpenStore, relay: RunningRelay, bucket: Bucket) -> None:
    for recording_id in (RECORDING, "1" * 32):
        put_record(store, recording_id, upload_url=bucket.url)
        put(relay, recording_id=recording_id)
    store.client.hset(keys.key(TAG, "recording", RECORDING), "size", "much")
    finish(relay)
    assert bucket.bodies == [FILE]


# The app fetches it


@pytest.fixture
def http(store: OpenStore) -> FlaskClient:
    api = Api(store)
    for app in (APP, "other"):
        Registry(store).put_app(new_app(app, API_KEY))
    places = RecordingPlaces(Relays(store), Links(KEY))
    return create_app(api.controller, FakeStreams(), files=places).test_client()


def get(http: FlaskClient, path: str, app: str = APP, method: str = "GET", **headers: str) -> Any:
    about = {"X-App-ID": app, "X-API-Key": API_KEY, **{name.replace("_", "-"): each for name, each in headers.items()}}
    return http.open(f"/api/v1/recordings{path}", method=method, headers=about)


CONTENT = f"/{RECORDING}/content"


# Headers, and what they lead to: the status, the part that comes, and Content-Range.
PARTS: list[tuple[dict[str, str], int, slice | None, str | None]] = [
    ({}, 200, slice(None), None),
    ({"Range": "bytes=0-"}, 206, slice(None), f"bytes 0-{len(FILE) - 1}/{len(FILE)}"),
    ({"Range": "bytes=44-143"}, 206, slice(44, 144), f"bytes 44-143/{len(FILE)}"),
    ({"Range": "bytes=16000-99999999"}, 206, slice(16000, None), f"bytes 16000-{len(FILE) - 1}/{len(FILE)}"),
    ({"Range": "bytes=-44"}, 206, slice(-44, None), f"bytes {len(FILE) - 44}-{len(FILE) - 1}/{len(FILE)}"),
    ({"Range": "bytes=-99999999"}, 206, slice(None), f"bytes 0-{len(FILE) - 1}/{len(FILE)}"),
    ({"Range": "bytes=-0"}, 416, None, f"bytes */{len(FILE)}"),
    ({"Range": "bytes=0-1,4-5"}, 200, slice(None), None),
    ({"Range": "seconds=1-2"}, 200, slice(None), None),
    ({"Range": "bytes=2-1"}, 200, slice(None), None),
    ({"Range": "bytes=44-143", "If_Range": f'"{RECORDING}"'}, 206, slice(44, 144), f"bytes 44-143/{len(FILE)}"),
    ({"Range": "bytes=44-143", "If_Range": '"other"'}, 200, slice(None), None),
    ({"Range": f"bytes={len(FILE)}-"}, 416, None, f"bytes */{len(FILE)}"),
    ({"If_None_Match": f'"{RECORDING}"'}, 304, None, None),
]


def test_a_file_is_fetched_in_parts(store: OpenStore, relay: RunningRelay, http: FlaskClient) -> None:
    put_record(store)
    put(relay)
    for headers, status, part, content_range in PARTS:
        for method in ("GET", "HEAD"):
            response = get(http, CONTENT, method=method, **headers)
            assert response.status_code == status
            assert response.headers["ETag"] == f'"{RECORDING}"'
            assert response.headers.get("Content-Range") == content_range
            if part is not None:
                assert response.headers["Content-Length"] == str(len(FILE[part]))
                assert response.headers["Accept-Ranges"] == "bytes"
                assert response.mimetype == "audio/wav"
                assert response.data == (FILE[part] if method == "GET" else b"")


def test_without_a_file_it_is_said_why(store: OpenStore, http: FlaskClient) -> None:
    for state in sorted(set(RECORDING_STATES) - {"uploading"}):
        put_record(store, state=state)
        response = get(http, CONTENT)
        answer = response.status_code, response.headers["X-Error-Code"]
        is_over = state in ("available", "expired", "failed")
        assert answer == ((410, "recording_gone") if is_over else (409, "recording_not_available"))


def test_another_apps_recording_is_none(store: OpenStore, relay: RunningRelay, http: FlaskClient) -> None:
    put_record(store)
    put(relay)
    for path in (f"/{RECORDING}", CONTENT):
        for app, wanted in (("other", 404), (APP, 200)):
            assert get(http, path, app).status_code == wanted
    assert get(http, f"/{RECORDING}", "other", "DELETE").status_code == 404
    assert get(http, "/nonsense").status_code == 404
    assert get(http, "", "other").json["recordings"] == []
    assert relay.paths != []


def test_a_relay_that_is_away_is_waited_for(store: OpenStore, relay: RunningRelay, http: FlaskClient) -> None:
    put_record(store)
    put(relay)
    relay.server.stop(0)
    assert get(http, CONTENT).headers["X-Error-Code"] == "recording_unreachable"


def test_recordings_are_listed_without_their_urls(
    store: OpenStore, relay: RunningRelay, http: FlaskClient, bucket: Bucket
) -> None:
    put_record(store, upload_url=bucket.url)
    put(relay)
    put_record(store, "1" * 32, room="", session=SESSION, state="recording", started_at=1_795_374_235_886)
    shown = get(http, "").json["recordings"]
    assert [each["recording_id"] for each in shown] == [RECORDING, "1" * 32]
    assert [each["upload_host"] for each in shown] == [bucket.url.split("/")[2], None]
    assert (shown[0]["duration"], shown[0]["size"], shown[0]["upload_attempts"]) == (1, len(FILE), 0)
    assert shown[1]["started_at"] == "2026-11-22T19:03:55.886Z"
    assert shown[1]["duration"] is None
    assert "secret" not in get(http, "").text + get(http, f"/{RECORDING}").text
    assert [len(get(http, query).json["recordings"]) for query in (f"?room_id={ROOM}", f"?uuid={SESSION}")] == [1, 1]
    assert [each["state"] for each in get(http, "?state=recording").json["recordings"]] == ["recording"]
    page = get(http, "?limit=1").json
    assert len(page["recordings"]) == 1
    assert get(http, f"?limit=1&cursor={page['cursor']}").json["recordings"][0]["recording_id"] == "1" * 32


def test_a_deleted_recording_is_gone_with_its_file(store: OpenStore, relay: RunningRelay, http: FlaskClient) -> None:
    put_record(store)
    put(relay)
    assert get(http, f"/{RECORDING}", method="DELETE").json == {"recording_id": RECORDING}
    for path in (f"/{RECORDING}", CONTENT):
        assert get(http, path).status_code == 404
    finish(relay)
    assert relay.paths == []
    assert used(store) == 0
    assert record_of(store) == {}
    assert get(http, f"/{RECORDING}", method="DELETE").status_code == 404


def test_an_upload_of_a_deleted_recording_leaves_nothing(
    store: OpenStore, relay: RunningRelay, http: FlaskClient, bucket: Bucket
) -> None:
    bucket.may_answer.clear()
    put_record(store, upload_url=bucket.url)
    put(relay)
    relay.keeper.look()
    assert get(http, f"/{RECORDING}", method="DELETE").status_code == 200
    bucket.may_answer.set()
    finish(relay)
    assert relay.paths == []
    assert emitted(store) == []
    assert record_of(store) == {}
