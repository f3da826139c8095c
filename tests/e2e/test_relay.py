"""Tenants' files through the audio relay, over HTTP and sockets."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from gevent.event import Event as Flag

from controller.media.links import Links
from controller.media.reasons import REASONS
from controller.store import keys
from switchroom import config
from tests.e2e.file_server import Response, endless, file, held, in_turn, redirect, status
from tests.e2e.nodes import Node
from tests.e2e.relayed import UP_SECONDS, Relayed
from tests.e2e.system import tone_wav
from tests.open_store import opened

pytestmark = pytest.mark.timeout(240)

SOUND = tone_wav(0.2)
NAMESPACES = ["unshare", "--map-root-user", "--net", "--mount"]
# For attacks.py: an address that counts as public and one that does not, and a name server.
INSIDE = """
set -e
ip link set lo up
ip route add local 93.184.216.34/32 dev lo src 127.0.0.1
ip address add 10.0.0.5/32 dev lo
echo nameserver 127.0.0.1 >"$1"
mount --bind "$1" /etc/resolv.conf
shift
exec "$@"
"""


@pytest.mark.skipif(
    not shutil.which("unshare")
    or bool(subprocess.run([*NAMESPACES, "true"], check=False, capture_output=True).returncode),
    reason="no network of one's own can be made",
)
@pytest.mark.timeout(600)
def test_attacks(tmp_path: Path) -> None:
    attacks = [sys.executable, "-m", "pytest", "-q", "--durations=0", str(Path(__file__).with_name("attacks.py"))]
    inside = [*NAMESPACES, "sh", "-c", INSIDE, "inside", str(tmp_path / "resolv.conf"), *attacks]
    said = subprocess.run(inside, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    print(said.stdout)
    assert said.returncode == 0, said.stdout + said.stderr


# One system for all that need no process of their own


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, own_node: Node) -> Iterator[Relayed]:
    system = Relayed(
        tmp_path_factory.mktemp("relayed"),
        own_node,
        max_file_mb=1,
        max_seconds=5,
        fetch_seconds=3,
        min_bytes_per_second=1024,
    )
    system.start()
    system.api.wait_up(timeout=UP_SECONDS)
    yield system
    system.close()


@pytest.fixture(scope="module")
def room(system: Relayed) -> str:
    return system.room()


class Fault(NamedTuple):
    reason: str
    response: Response
    http_status: int | None = None


NEVER = Flag()
FAULTS = {
    "missing": Fault("not_found", status(404), 404),
    "forbidden": Fault("not_found", status(403), 403),
    "broken": Fault("not_found", status(503), 503),
    "page": Fault("not_audio", file(b"<html>no sound</html>", kind="text/html")),
    "empty": Fault("not_audio", file(b"")),
    "large": Fault("too_large", file(tone_wav(70))),
    "endless": Fault("too_large", endless(SOUND, 1 << 22)),
    "long": Fault("too_long", file(tone_wav(6))),
    "silent": Fault("timeout", held(NEVER, status(200))),
    "slow": Fault("timeout", endless(SOUND, 1 << 16)),
    "circle": Fault("unreachable", redirect("/circle.wav")),
    "broken off": Fault(
        "unreachable", lambda sock: sock.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 9000\r\n\r\nRIFF")
    ),
}


def test_all_reasons_are_tested() -> None:
    """Here, in attacks.py the one that needs a public address, and in test_media_relay.py that of a full disk."""
    assert {fault.reason for fault in FAULTS.values()} | {"forbidden_address", "relay_failed"} == set(REASONS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_tenant_gets_the_reason(system: Relayed, room: str, name: str) -> None:
    reason, response, http_status = FAULTS[name]
    url = system.files.serve(f"/{name.replace(' ', '-')}.wav", response)
    good = system.files.serve("/good.wav", file(SOUND))
    failed = {"url": url, "status": "failed", "reason": reason}
    if http_status:
        failed["http_status"] = http_status
    with system.heard() as heard:
        operation = system.play(room, url, good)
        finished = system.finished(operation)
        assert (finished["status"], finished["results"]) == ("partial", [failed, {"url": good, "status": "played"}])
        assert heard.plays() == [(operation, 1)]


def test_nobody_listens_at_the_port(system: Relayed, room: str) -> None:
    assert system.played(room, "http://127.0.0.1:9/a.wav")[0]["reason"] == "unreachable"


def test_a_file_is_fetched_once_for_all_who_play_it(system: Relayed, room: str) -> None:
    url = system.files.serve("/often.wav", file(SOUND))
    other = system.room()
    operations = [system.play(room, url, url, url), system.play(other, url)]
    assert [system.finished(operation)["status"] for operation in operations] == ["completed"] * 2
    assert system.files.count("/often.wav") == 1


def test_a_file_of_another_app_is_another_file(system: Relayed, room: str) -> None:
    url = system.files.serve("/both.wav", in_turn(file(SOUND, "Cache-Control: max-age=9"), status(403)))
    assert system.played(room, url)[0]["status"] == "played"
    (result,) = system.played(system.room("beta"), url, app="beta")
    assert (result["reason"], result["http_status"]) == ("not_found", 403)


def test_the_server_is_asked_whether_a_stale_file_has_changed(system: Relayed, room: str) -> None:
    url = system.files.serve(
        "/stale.wav", in_turn(file(SOUND, "Cache-Control: no-cache", 'ETag: "1"'), status(304, 'ETag: "1"'))
    )
    assert system.played(room, url)[0]["status"] == "played"
    while system.files.count("/stale.wav") < 2:  # for some seconds it is the same question
        assert system.played(room, url)[0]["status"] == "played"
    heads = [head for head in system.files.heads if "/stale.wav" in head]
    assert ['If-None-Match: "1"' in head for head in heads] == [False, True]


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ("/exact.wav?a='b'&c=d@e.com&f=%20%27%2f&g=~!*();:", None),
        ("/exact.wav?v=1.2/3.4", None),
        ("/exact.wav?X-Signature=0F+%2B=&&=", None),
        ("/exact.wav?", None),
        ("/exact.wav?${hostname}[a]", None),
        ("/exact.wav?\u00e9\U0001f600 x", "/exact.wav?%C3%A9%F0%9F%98%80%20x"),
        ("/exact.wav?a#fragment", "/exact.wav?a"),
    ],
)
def test_a_url_is_asked_for_as_it_was_sent(system: Relayed, room: str, sent: str, asked: str | None) -> None:
    """What no URL may hold is percent-encoded."""
    url = system.files.serve("/exact.wav", file(SOUND)) + sent.removeprefix("/exact.wav")
    assert system.played(room, url) == [{"url": url, "status": "played"}]
    assert system.files.targets[-1] == (asked or sent)


# The relay's own face, to nodes and workers


class Face:
    """Asks a relay for things. `links`: with the key that relays and workers have."""

    def __init__(self, address: str, links: Links) -> None:
        self._address = address
        self.links = links

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = HTTPConnection(self._address, timeout=30)
        try:
            connection.request(method, target, body, headers)
            response: HTTPResponse = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def question(self, url: str, age: float = 0.0) -> tuple[bytes, str]:
        return self.links.question({"app_id": "alpha", "url": url, "rate": 8000, "start": 0}, time.time() - age)


@pytest.fixture(scope="module")
def face(system: Relayed) -> Face:
    with opened(config.load(system.api.config, {})) as store:
        return Face(system.relays()[0], Links(store.shared_secret(keys.MEDIA_KEY)))


@pytest.fixture(scope="module")
def link(system: Relayed, face: Face) -> str:
    """Path and query of a file that is ready."""
    url = system.files.serve("/link.wav", file(SOUND))
    while True:  # until it is ready
        body, signature = face.question(url)
        code, said = face.ask("POST", "/prepare", body, Signature=signature)
        assert code == 200
        if link := orjson.loads(said).get("link"):
            return str(link)


def test_a_link_leads_to_its_file(face: Face, link: str) -> None:
    code, data = face.ask("GET", link)
    assert (code, data[:4], data[8:12], len(data)) == (200, b"RIFF", b"WAVE", 44 + 8000 * 2 // 5)
    assert face.ask("HEAD", link) == (200, b"")


ALTERED: dict[str, Callable[[str], str]] = {
    "no query": lambda link: link.partition("?")[0],
    "no signature": lambda link: link.partition("&")[0],
    "another signature": lambda link: link[:-1] + ("0" if link[-1] != "0" else "1"),
    "a longer signature": lambda link: link + "0",
    "another time": lambda link: link.replace("expires=1", "expires=2"),
    "another file": lambda link: link.replace("/audio/", "/audio/a"),
    "another rate": lambda link: link.replace("-8000.wav", "-16000.wav"),
    "one term more": lambda link: link + "&a=b",
    "another kind": lambda link: link.replace(".wav", ".json"),
    "another folder": lambda link: link.replace("/audio/", "/"),
    "a way up": lambda link: link.replace("/audio/", "/audio/../audio/"),
    "a hidden way up": lambda link: link.replace("/audio/", "/audio/%2e%2e%2f"),
}


@pytest.mark.parametrize("how", ALTERED)
def test_a_link_that_was_altered_leads_nowhere(face: Face, link: str, how: str) -> None:
    altered = ALTERED[how](link)
    assert altered != link
    assert face.ask("GET", altered) == (404, b"")


def test_a_link_leads_nowhere_once_its_time_is_over(face: Face, link: str) -> None:
    name = link.removeprefix("/audio/").partition(".wav")[0]
    assert face.ask("GET", face.links.link(name, time.time()))[0] == 200
    assert face.ask("GET", face.links.link(name, time.time() - 3600)) == (404, b"")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "none-8000", "none", "-", "none-x", "none-0"]
)
def test_not_even_a_signed_link_leads_to_anything_else(face: Face, name: str) -> None:
    assert face.ask("GET", face.links.link(name, time.time())) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_a_link_is_for_reading_only(face: Face, link: str, method: str) -> None:
    assert face.ask(method, link) == (404, b"")


@pytest.mark.parametrize("path", ["/", "/prepare", "/audio", "/audio/", "/metrics", "/api/v1/conferences", "/healthz"])
def test_there_is_nothing_else(face: Face, path: str) -> None:
    assert face.ask("GET", path) == (404, b"")
    assert face.ask("POST", path, b"{}") == (404, b"")


def test_only_signed_questions_are_answered_and_for_a_minute(system: Relayed, face: Face) -> None:
    url = system.files.url("/question.wav")
    body, signature = face.question(url)
    for tampered, signed in (
        (body, ""),
        (body, signature[:-1]),
        (body, "\u00e9" + signature[1:]),
        (body.replace(b"question", b"quextion"), signature),
        (body + b" ", signature),
        (b"", signature),
        (b"x" * 100_000, signature),
        face.question(url, age=61),
    ):
        assert face.ask("POST", "/prepare", tampered, Signature=signed.encode().decode("latin-1"))[0] in (404, 413)
    assert system.files.count("/question.wav") == 0
    assert face.ask("POST", "/prepare", body, Signature=signature)[0] == 200
    assert system.files.count("/question.wav") == 1
