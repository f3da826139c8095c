"""The relay from a worker's question to a node's download, with a real origin, decoder, cache and HTTP between."""

from __future__ import annotations

import io
import socket
import time
import wave
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, cast

import gevent
import pytest
from gevent.event import AsyncResult
from gevent.event import Event as Flag
from gevent.greenlet import Greenlet
from gevent.pywsgi import WSGIServer
from geventhttpclient import HTTPClient
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from controller.media.cache import Cache
from controller.media.client import RelayClient
from controller.media.decoders import DecodeLimits, Decoders
from controller.media.links import Links
from controller.media.origin import FetchLimits, Origin
from controller.media.reasons import AudioFailed
from controller.media.relay import File, Relay, first_part
from controller.media.relays import LIVE_SECONDS, RelayPresence, Relays
from controller.outbound.network import Network
from controller.store import keys
from tests.open_store import OpenStore
from web.relay import RelayApp
from web.server import Server

KEY = b"the key of all relays and workers"
MAX_BYTES = 1 << 20


def tone(seconds: float = 1.0, rate: int = 8000) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(b"\x00\x10\x00\xf0" * int(seconds * rate / 2))
    return content.getvalue()


class TenantServer:
    """A tenant's server: `/200...` is a tone, with more headers as `headers` says; other statuses as asked for. With
    `/200/late` it sends the last hundredth when `may_end` is set, and breaks the connection if `breaks`.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[tuple[str, str]] = []
        self.may_answer = Flag()
        self.may_answer.set()
        self.may_end = Flag()
        self.breaks = False
        self.body = tone()
        self._server = WSGIServer(("127.0.0.1", 0), self._serve, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.asked.append(environ)
        self.may_answer.wait()
        status = environ["PATH_INFO"][1:4]
        if environ.get("HTTP_IF_NONE_MATCH") == '"1"':
            status = "304"
        if environ["PATH_INFO"] == "/200/late":
            return self._late(start_response)
        start_response(f"{status} X", [*self.headers])
        return [self.body] if status == "200" else []

    def _late(self, start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 X", [("Content-Length", str(len(self.body)))])
        most = len(self.body) * 99 // 100
        yield self.body[:most]
        self.may_end.wait()
        if not self.breaks:
            yield self.body[most:]

    def stop(self) -> None:
        self.may_answer.set()
        self.may_end.set()
        self._server.stop(1)


class FullDisk(Cache):
    """A cache on one."""

    def new_file(self) -> tuple[Path, BinaryIO]:
        path, file = super().new_file()
        file.close()
        return path, open("/dev/full", "wb")


class RunningRelay:
    """It fetches for `seconds` at the most, and remembers outcomes for as long as a test may take."""

    def __init__(self, folder: Path, decoders: Decoders, kind: type[Cache], seconds: float) -> None:
        self.folder = folder
        origin = Origin(Network(allow_private=True), FetchLimits(max_bytes=MAX_BYTES, seconds=seconds))
        self.relay = Relay(kind(folder, 1 << 28), origin, decoders, remember=60)
        self.relay.start()
        self.server = Server(RelayApp(self.relay, Links(KEY)), "127.0.0.1", 0)
        self.server.start()
        self.address = "{}:{}".format(*self.server.address)

    def stop(self) -> None:
        self.server.stop(0.1)
        self.relay.stop(1)


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(DecodeLimits(max_seconds=60))
    decoders.start()
    yield decoders
    decoders.stop(5)


@pytest.fixture
def origin() -> Iterator[TenantServer]:
    server = TenantServer()
    yield server
    server.stop()


@pytest.fixture
def start(tmp_path: Path, decoders: Decoders, store: OpenStore) -> Iterator[Callable[..., RunningRelay]]:
    running: list[RunningRelay] = []

    def start(kind: type[Cache] = Cache, seconds: float = 20.0) -> RunningRelay:
        relay = RunningRelay(tmp_path / str(len(running)), decoders, kind, seconds)
        running.append(relay)
        publish(store, relay.address)
        return relay

    yield start
    for relay in running:
        relay.stop()


@pytest.fixture
def client(store: OpenStore) -> Iterator[RelayClient]:
    client = RelayClient(Relays(store), Links(KEY))
    yield client
    client.close()


def publish(store: OpenStore, address: str, seconds: float = 60.0) -> None:
    store.run("relays", keys.REGISTRY, {"address": address, "ttl": int(seconds * 1000)})


def download(url: str, method: str = "GET") -> tuple[int, bytes]:
    with closing(HTTPClient.from_url(url)) as http:
        response = http.request(method, "/" + url.split("/", 3)[3])
        return response.status_code, bytes(response.read())


def samples(body: bytes) -> tuple[int, int, int, int]:
    with wave.open(io.BytesIO(body)) as sound:
        return sound.getnchannels(), sound.getsampwidth(), sound.getframerate(), sound.getnframes()


def test_what_a_node_gets_is_mono_16_bit_at_the_rate_of_its_rooms(
    start: Callable[[], RunningRelay], client: RelayClient, origin: TenantServer
) -> None:
    start()
    for rate in (8000, 48000):
        prepared = client.prepare("demo", f"{origin.url}/200", rate, 30)
        status, body = download(prepared.url)
        assert status == 200
        assert samples(body) == (1, 2, rate, rate)
    assert len(origin.asked) == 1, "one fetch serves both"


def test_a_repeat_is_served_from_the_cache_by_the_same_link(
    start: Callable[[], RunningRelay], client: RelayClient, origin: TenantServer, decoders: Decoders
) -> None:
    relay = start()
    first = client.prepare("demo", f"{origin.url}/200", 8000, 30)
    assert (first.details["bytes"], first.details["seconds"], first.details["cached"]) == (len(origin.body), 1.0, False)
    assert client.prepare("demo", f"{origin.url}/200", 8000, 30).url == first.url
    # Another process, which remembers nothing, finds it on the disk.
    other = Relay(Cache(relay.folder, 1 << 28), Origin(Network(allow_private=True)), decoders)
    found = other.prepare("demo", f"{origin.url}/200", 8000, 30)
    assert found is not None
    assert found.details["cached"] is True
    assert len(origin.asked) == 1
    # What another app has fetched is not its own.
    found = other.prepare("other", f"{origin.url}/200", 8000, 30)
    assert found is not None
    assert found.details["cached"] is False


def test_all_who_want_a_file_at_once_wait_for_one_fetch(
    start: Callable[[], RunningRelay], client: RelayClient, origin: TenantServer
) -> None:
    start()
    origin.may_answer.clear()
    waiting = [gevent.spawn(client.prepare, "demo", f"{origin.url}/200", 8000, 30) for _ in range(20)]
    with gevent.Timeout(30):
        while not origin.asked:
            gevent.sleep(0.01)
    origin.may_answer.set()
    assert len({each.get(timeout=30).url for each in waiting}) == 1
    assert len(origin.asked) == 1


def test_a_stale_file_is_asked_for_by_its_validator_and_decoded_once(
    tmp_path: Path, origin: TenantServer, decoders: Decoders
) -> None:
    relay = Relay(Cache(tmp_path, 1 << 28), Origin(Network(allow_private=True)), decoders, remember=0)
    origin.headers = [("ETag", '"1"'), ("Cache-Control", "max-age=0")]
    names = []
    for _ in range(2):
        found = relay.prepare("demo", f"{origin.url}/200", 8000, 30)
        assert found
        names.append(found.name)
        gevent.sleep(0.01)  # The outcome is forgotten.
    assert names[0] == names[1]
    assert [environ.get("HTTP_IF_NONE_MATCH") for environ in origin.asked] == [None, '"1"']


@pytest.mark.parametrize(
    ("path", "body", "reason", "http_status"),
    [
        ("404", b"", "not_found", 404),
        ("503", b"", "not_found", 503),
        ("200", b"<html>no audio</html>", "not_audio", None),
        ("200", b"x" * (MAX_BYTES + 1), "too_large", None),
        ("200", tone(61), "too_long", None),
    ],
)
def test_reasons(
    path: str,
    body: bytes,
    reason: str,
    http_status: int | None,
    start: Callable[[], RunningRelay],
    client: RelayClient,
    origin: TenantServer,
) -> None:
    start()
    origin.body = body
    with pytest.raises(AudioFailed) as failed:
        client.prepare("demo", f"{origin.url}/{path}", 8000, 30)
    assert (failed.value.reason, failed.value.http_status) == (reason, http_status)


def test_a_server_that_says_nothing_is_given_up(
    start: Callable[..., RunningRelay], client: RelayClient, origin: TenantServer
) -> None:
    start(seconds=1.0)
    origin.may_answer.clear()
    with pytest.raises(AudioFailed) as failed:
        client.prepare("demo", f"{origin.url}/200", 8000, 30)
    assert failed.value.reason == "timeout"


def test_a_relay_that_does_not_answer_is_left_out(
    start: Callable[[], RunningRelay], store: OpenStore, client: RelayClient, origin: TenantServer
) -> None:
    with socket.socket() as dead, socket.socket() as frozen:
        for each in (dead, frozen):
            each.bind(("127.0.0.1", 0))
            publish(store, "{}:{}".format(*each.getsockname()))
        frozen.listen()
        relay = start()
        for number in range(4):
            url = client.prepare("demo", f"{origin.url}/200?{number}", 8000, 20).url
            assert url.startswith(f"http://{relay.address}/")


def test_a_relay_whose_clock_differs_is_told(start: Callable[[], RunningRelay], store: OpenStore) -> None:
    relay = start()
    client = RelayClient(Relays(store), Links(KEY), wall_clock=lambda: time.time() - 3600)
    with closing(client), capture_logs() as told, pytest.raises(AudioFailed) as failed:
        client.prepare("demo", "http://127.0.0.1:9/a.wav", 8000, 0.5)
    assert failed.value.reason == "timeout"
    refused = "an audio relay refused a question: its clock or its store may differ"
    assert [(line["event"], line["relay"]) for line in told if "relay" in line] == [(refused, relay.address)]


def test_an_answer_that_is_none_is_told_by_its_status(store: OpenStore) -> None:
    def fail(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("503 X", [])
        return []

    server = WSGIServer(("127.0.0.1", 0), fail, log=None)
    server.start()
    publish(store, f"127.0.0.1:{server.server_port}")
    client = RelayClient(Relays(store), Links(KEY))
    try:
        with closing(client), capture_logs() as told, pytest.raises(AudioFailed):
            client.prepare("demo", "http://127.0.0.1:9/a.wav", 8000, 0.5)
    finally:
        server.stop(1)
    assert [line["reason"] for line in told if "relay" in line] == ["status 503"]


def test_without_a_relay_a_file_is_not_there_in_time(client: RelayClient) -> None:
    with pytest.raises(AudioFailed) as failed:
        client.prepare("demo", "http://127.0.0.1:9/a.wav", 8000, 0.5)
    assert failed.value.reason == "timeout"


def test_a_file_is_not_there_in_time_if_others_ask_the_relay_all_the_while(
    store: OpenStore, client: RelayClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.media.client.MAX_QUESTIONS", 0)
    publish(store, "127.0.0.1:9")
    with gevent.Timeout(30), pytest.raises(AudioFailed) as failed:
        client.prepare("demo", "http://127.0.0.1:9/a.wav", 8000, 0.1)
    assert failed.value.reason == "timeout"


def test_a_reason_that_only_a_newer_relay_knows_is_passed_on(store: OpenStore) -> None:
    class Newer:
        def answer(self, *_: Any) -> dict[str, Any]:
            return {"reason": "too_loud", "http_status": None}

    publish(store, "127.0.0.1:9")
    with pytest.raises(AudioFailed) as failed:
        RelayClient(Relays(store), Links(KEY), ("127.0.0.1:9", Newer())).prepare("demo", "http://a.example/", 8000, 30)
    assert failed.value.reason == "too_loud"


def test_a_full_disk_is_told_to_the_operator_once_and_not_put_down_to_the_file(
    start: Callable[..., RunningRelay], client: RelayClient, origin: TenantServer
) -> None:
    start(FullDisk)
    counted = {"outcome": "relay_failed"}
    before = REGISTRY.get_sample_value("switchroom_media_prepared_total", counted) or 0.0
    with capture_logs() as logged:
        for number in (1, 1, 2):
            with pytest.raises(AudioFailed) as failed:
                client.prepare("demo", f"{origin.url}/200?{number}", 8000, 30)
            assert failed.value.reason == "relay_failed"
    assert len(origin.asked) == 2, "each file is fetched once"
    assert [line for line in logged if line["log_level"] == "error"] == [
        {"event": "the audio relay cannot store files", "reason": "No space left on device", "log_level": "error"}
    ]
    assert REGISTRY.get_sample_value("switchroom_media_prepared_total", counted) == before + 2


class Broken(Cache):
    """A cache with a fault in it."""

    def new_version(self, app_id: str) -> str:
        raise RuntimeError(app_id)


def test_a_fault_in_a_fetch_ends_it_for_all_who_wait(start: Callable[..., RunningRelay], origin: TenantServer) -> None:
    relay = start(Broken).relay
    with capture_logs() as logged, pytest.raises(AudioFailed) as failed:
        relay.prepare("demo", f"{origin.url}/200", 8000, 30)
    assert failed.value.reason == "relay_failed"
    assert [line["event"] for line in logged] == ["file not prepared"]


def test_when_the_disk_of_one_relay_is_full_another_prepares_the_file(
    start: Callable[..., RunningRelay], store: OpenStore, client: RelayClient, origin: TenantServer
) -> None:
    full, relay = start(FullDisk), start()
    first = {number: Relays(store).choose("demo", f"{origin.url}/200?{number}")[0] for number in range(20)}
    assert set(first.values()) == {full.address, relay.address}
    for number in first:
        assert client.prepare("demo", f"{origin.url}/200?{number}", 8000, 30).relay == relay.address


def test_a_caller_s_own_timeout_is_its_own(tmp_path: Path, origin: TenantServer, decoders: Decoders) -> None:
    origin.may_answer.clear()
    relay = Relay(Cache(tmp_path, 1 << 28), Origin(Network(allow_private=True)), decoders)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
        relay.prepare("demo", f"{origin.url}/200", 8000, 30)


def test_a_relay_lives_while_it_says_so(store: OpenStore) -> None:
    presence = RelayPresence(store, "192.0.2.1:8090")
    presence.start()
    assert Relays(store).live() == ["192.0.2.1:8090"]
    presence.stop(1)
    assert Relays(store).live() == []
    publish(store, "192.0.2.2:8090", LIVE_SECONDS)
    publish(store, "192.0.2.3:8090", 0)
    assert Relays(store).live() == ["192.0.2.2:8090"]


def test_a_file_is_asked_for_at_the_same_relay_by_all(store: OpenStore) -> None:
    for number in range(5):
        publish(store, f"192.0.2.{number}:8090")
    chosen = [Relays(store).choose("demo", "http://a.example/a.wav") for _ in range(2)]
    assert chosen[0] == chosen[1]
    assert len({Relays(store).choose("demo", f"http://a.example/{number}")[0] for number in range(50)}) == 5


def test_nothing_is_had_without_a_signature(
    start: Callable[[], RunningRelay], client: RelayClient, origin: TenantServer
) -> None:
    relay = start()
    url = client.prepare("demo", f"{origin.url}/200", 8000, 30).url
    assert download(url)[0] == 200
    assert download(url, "HEAD") == (200, b"")
    for wrong in (url[:-1], url.replace("-8000", "-9000"), url.partition("?")[0], f"http://{relay.address}/"):
        assert download(wrong) == (404, b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert download(url, method) == (404, b"")
    with closing(HTTPClient.from_url(f"http://{relay.address}")) as http:
        body, signature = Links(b"another key").question({"app_id": "demo", "url": origin.url, "rate": 8000}, 2e9)
        assert http.post("/prepare", body, {"Signature": signature}).status_code == 404
    assert len(origin.asked) == 1


SHORT = 3  # seconds of a file that has no parts


class SlowDecoders:
    """In the place of `Decoders`: has decoded half of a file of so many seconds, or almost all of a short one, and then
    waits for the test. However slow that was so far, it is soon enough.
    """

    def __init__(self, ends: AsyncResult[int | AudioFailed], seconds: int) -> None:
        self._ends = ends
        self._seconds = seconds

    def decode(
        self, _app: str, _source: Any, output: BinaryIO, rate: int, progress: Callable[[int, int], None], size: int
    ) -> int:
        half = self._seconds * rate // 2
        output.write(b"\1\0" * half)
        output.flush()
        progress(2 * half, 2 * half - 1 if self._seconds == SHORT else half)
        end = self._ends.get()
        if isinstance(end, AudioFailed):
            raise end
        output.write(b"\2\0" * (end - half))
        return end


def decoded_slowly(folder: Path, ends: AsyncResult[int | AudioFailed], seconds: int) -> Relay:
    decoders = cast(Decoders, SlowDecoders(ends, seconds))
    return Relay(Cache(folder, 1 << 28), Origin(Network(allow_private=True)), decoders)


def sound_of(relay: Relay, name: str) -> bytes:
    found = relay.open(name)
    assert found
    head, file, size = found
    with file:
        return head + file.read(size)


def test_the_first_part_of_a_long_file_is_ready_before_the_rest_is(tmp_path: Path, origin: TenantServer) -> None:
    ends: AsyncResult[int | AudioFailed] = AsyncResult()
    relay = decoded_slowly(tmp_path, ends, 50)
    url = f"{origin.url}/200"
    first = relay.prepare("demo", url, 8000, 30)
    assert first
    assert (first.rest, first.details["seconds"]) == (16_000, 50)
    assert samples(sound_of(relay, first.name)) == (1, 2, 8000, 16_000)
    # Whoever asks for the rest waits for it.
    asked = gevent.spawn(sound_of, relay, first.rest_name)
    assert relay.prepare("demo", url, 8000, 0.01, first.rest) is None
    ends.set(400_000)
    assert samples(asked.get()) == (1, 2, 8000, 400_000 - 16_000)
    rest = relay.prepare("demo", url, 8000, 30, first.rest)
    assert rest
    assert (rest.name, rest.rest) == (first.rest_name, 0)
    # Who asks now gets the same parts, and nothing is lost between them.
    again = relay.prepare("demo", url, 8000, 30)
    assert again
    assert (again.name, again.rest_name) == (first.name, first.rest_name)
    parts = b"".join(sound_of(relay, name)[44:] for name in (first.name, first.rest_name))
    assert parts == b"\1\0" * 200_000 + b"\2\0" * 200_000


@pytest.mark.parametrize(
    ("seconds", "first"),
    [(0.1, 0), (3.9, 0), (4, 2), (60, 2), (300, 2), (330, 4), (3600, 32)],
)
def test_how_long_the_first_part_is(seconds: float, first: int) -> None:
    assert first_part(int(seconds * 8000), 8000) == first * 8000


def test_a_file_that_has_yet_to_come_has_no_part_that_is_ready(tmp_path: Path, origin: TenantServer) -> None:
    ends: AsyncResult[int | AudioFailed] = AsyncResult()
    relay = decoded_slowly(tmp_path, ends, 50)
    origin.body = tone(30)
    assert relay.prepare("demo", f"{origin.url}/200/late", 8000, 1.0) is None
    relay.stop(5)


def test_a_rest_that_cannot_be_decoded_is_told(tmp_path: Path, origin: TenantServer) -> None:
    ends: AsyncResult[int | AudioFailed] = AsyncResult()
    relay = decoded_slowly(tmp_path, ends, 50)
    first = relay.prepare("demo", f"{origin.url}/200", 8000, 30)
    assert first
    ends.set(AudioFailed("not_audio"))
    with pytest.raises(AudioFailed) as failed:
        relay.prepare("demo", f"{origin.url}/200", 8000, 30, first.rest)
    assert failed.value.reason == "not_audio"


def test_another_relay_has_the_rest_as_well(
    start: Callable[[], RunningRelay], client: RelayClient, origin: TenantServer
) -> None:
    start()
    rest = client.prepare("demo", f"{origin.url}/200", 8000, 30, start=6000)
    assert samples(download(rest.url)[1]) == (1, 2, 8000, 2000)
    nothing = client.prepare("demo", f"{origin.url}/200", 8000, 30, start=8000)
    assert download(nothing.url) == (404, b"")


def test_a_node_may_ask_for_a_file_that_is_almost_decoded(tmp_path: Path, origin: TenantServer) -> None:
    ends: AsyncResult[int | AudioFailed] = AsyncResult()
    relay = decoded_slowly(tmp_path, ends, SHORT)
    found = relay.prepare("demo", f"{origin.url}/200", 8000, 30)
    assert found
    asking = gevent.spawn(relay.open, found.name)
    gevent.sleep(0.01)
    assert not asking.ready()
    ends.set(SHORT * 8000)
    head, file, size = asking.get(timeout=30)
    with file:
        assert samples(head + file.read()) == (1, 2, 8000, 24_000)
    assert size == 48_000


def test_a_file_that_fails_at_its_end_is_not_had_and_its_reason_is_told(tmp_path: Path, origin: TenantServer) -> None:
    ends: AsyncResult[int | AudioFailed] = AsyncResult()
    relay = decoded_slowly(tmp_path, ends, SHORT)
    found = relay.prepare("demo", f"{origin.url}/200", 8000, 30)
    assert found
    ends.set(AudioFailed("too_long"))
    assert relay.open(found.name) is None
    with pytest.raises(AudioFailed) as failed:
        relay.prepare("demo", f"{origin.url}/200", 8000, 30)
    assert failed.value.reason == "too_long"


def decoding_while_fetched(folder: Path, origin: TenantServer, decoders: Decoders) -> Greenlet[..., File | None]:
    """What is told of a file that is decoded as far as it has come, once its end comes."""
    origin.body = tone(30)
    relay = Relay(Cache(folder, 1 << 28), Origin(Network(allow_private=True)), decoders)
    told = gevent.spawn(relay.prepare, "demo", f"{origin.url}/200/late", 8000, 30)
    # What comes and what goes out are unfinished files then, and both have begun.
    with gevent.Timeout(30):
        while sum(part.stat().st_size > 0 for part in folder.glob("*.part")) < 2:
            gevent.sleep(0.01)
    assert not told.ready()
    return told


def test_a_file_is_decoded_while_the_last_of_it_is_fetched(
    tmp_path: Path, origin: TenantServer, decoders: Decoders
) -> None:
    told = decoding_while_fetched(tmp_path, origin, decoders)
    origin.may_end.set()
    found = told.get(timeout=30)
    assert found
    assert found.details["seconds"] == 30
    assert len(origin.asked) == 1


def test_a_fetch_that_fails_while_the_file_is_decoded_is_told(
    tmp_path: Path, origin: TenantServer, decoders: Decoders
) -> None:
    told = decoding_while_fetched(tmp_path, origin, decoders)
    origin.breaks = True
    origin.may_end.set()
    with pytest.raises(AudioFailed) as failed:
        told.get(timeout=30)
    assert failed.value.reason == "unreachable"


def test_a_file_that_stalls_is_not_ready_any_more(
    tmp_path: Path, origin: TenantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: AsyncResult[int | AudioFailed] = AsyncResult()
    relay = decoded_slowly(tmp_path, ends, SHORT)
    url = f"{origin.url}/200"
    found = relay.prepare("demo", url, 8000, 30)
    assert found
    monkeypatch.setattr("controller.media.relay.MAX_WAIT_SECONDS", 0.05)
    assert relay.open(found.name) is None
    assert relay.prepare("demo", url, 8000, 0.05) is None
    ends.set(SHORT * 8000)
    assert relay.prepare("demo", url, 8000, 30) == found
    assert len(origin.asked) == 1


def test_what_nobody_asks_for_any_more_is_dropped(
    tmp_path: Path, origin: TenantServer, decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It held up what was asked for: an app has so many fetches at a time."""
    monkeypatch.setattr("controller.media.relay.SWEEP_SECONDS", 0.05)
    relay = Relay(Cache(tmp_path, 1 << 28), Origin(Network(allow_private=True)), decoders)
    relay.start()
    origin.may_answer.clear()
    with gevent.Timeout(30):
        while len(origin.asked) < 2:
            assert relay.prepare("demo", f"{origin.url}/200", 8000, 0.01) is None
            gevent.sleep(0.3)
    relay.stop(1)
