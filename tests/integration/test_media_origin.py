"""Fetches from real servers, most of which mean harm."""

from __future__ import annotations

import errno
import io
import os
import socket
import struct
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event as Flag
from gevent.server import StreamServer
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from controller.media.origin import (
    MAX_FETCHES_OF_APP,
    MAX_HEAD_BYTES,
    MAX_VALIDATOR_LENGTH,
    Fetched,
    FetchLimits,
    Origin,
    Validators,
)
from controller.media.reasons import REASONS, AudioFailed
from controller.outbound.network import Network, tls_context
from tests.integration.file_server import FileServer, redirect, response
from tests.integration.webhook_fixtures import CERTIFICATE

# Every name leads to this machine, so that nothing here can reach any other.
LOOPBACK = ["127.0.0.1"]
PATIENT = FetchLimits(max_bytes=100_000, seconds=30, min_bytes_per_second=1000, rate_seconds=30)
QUICK = replace(PATIENT, seconds=0.5, rate_seconds=0.2)
KNOWN = Validators('W/"one"', "Sun, 22 Nov 2026 19:03:56 GMT")


def network(**options: Any) -> Network:
    return Network(**{"allow_private": True, "resolve": lambda *_: LOOPBACK, **options})


@pytest.fixture
def server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.stop()


@pytest.fixture
def origin() -> Origin:
    return Origin(network(), PATIENT)


@pytest.fixture
def quick_origin() -> Origin:
    """One that soon gives up."""
    return Origin(network(), QUICK)


def fetch(origin: Origin, url: str, known: Validators | None = None) -> tuple[Fetched, bytes]:
    into = io.BytesIO()
    return origin.fetch("app", url, into, known), into.getvalue()


def failure(origin: Origin, url: str, known: Validators | None = None, into: Any = None) -> tuple[str, int | None]:
    with pytest.raises(AudioFailed) as caught:
        origin.fetch("app", url, into or io.BytesIO(), known)
    assert str(caught.value) == REASONS[caught.value.reason]
    return caught.value.reason, caught.value.http_status


# What is asked for


@pytest.mark.parametrize(
    "path",
    [
        "/", "/?", "//a/../b/./c;d", "/-._~!$&'()*+,;=:@", "/a?b=c?d&e='f'&g=/%2F%2f", "/%zz%", "/%C3%BC%20",
        "/mod_event_socket@a", "/?X-Amz-Signature=0f/+=%3D&X-Amz-Date=20261122T190356Z",
    ],
)  # fmt: skip
def test_a_url_is_asked_for_as_the_app_has_sent_it(server: FileServer, origin: Origin, path: str) -> None:
    assert fetch(origin, server.url + path)[1] == b"sound"
    assert server.paths == [path]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("/a b", "/a%20b"), ("/ü?ü", "/%C3%BC?%C3%BC"), ("/\u00a0\u200b\U0001f600", "/%C2%A0%E2%80%8B%F0%9F%98%80"),
        ("/\ue000\u202e", "/%EE%80%80%E2%80%AE"), ("/a#b", "/a"), ("?a", "/?a"), ("", "/"), ("/\r\nX: y", "/%0D%0AX:%20y"),
    ],
)  # fmt: skip
def test_only_what_no_url_holds_is_encoded(server: FileServer, origin: Origin, given: str, asked: str) -> None:
    fetch(origin, server.url + given)
    assert server.paths == [asked]


def test_nothing_else_is_told(server: FileServer, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://user:word@127.0.0.1:1")
    server.responses["/first"] = response(302, headers={"Location": "/second", "Set-Cookie": "a=b"})
    fetch(origin, f"http://Files.example:{server.port}/first")
    for number in (0, 1):
        headers = server.headers(number)
        assert headers.pop("user-agent").startswith("Switchroom/")
        assert headers == {
            "host": f"files.example:{server.port}",
            "accept": "audio/*, */*;q=0.5",
            "accept-encoding": "identity",
            "connection": "close",
        }


@pytest.mark.parametrize(
    "url",
    [
        "", "files.example/a", "ftp://files.example/", "file:///etc/passwd", "http://", "http://user:word@files.example/",
        "http://files example/", "http://files.example\r\n/", "http://[fe80::1%ü]/", "http://\ud800/", "http://a/\ud800",
        "https://.files.example/", "http://files.example:99999/",
    ],
)  # fmt: skip
def test_a_url_that_leads_nowhere(origin: Origin, url: str) -> None:
    assert failure(origin, url) == ("unreachable", None)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server: FileServer, origin: Origin, status: int) -> None:
    server.responses["/a"] = redirect("/b", status)
    assert fetch(origin, f"{server.url}/a")[1] == b"sound"
    assert server.paths == ["/a", "/b"]


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("c?d='e'#f", "/a/c?d='e'"),
        ("/c d", "/c%20d"),
        ("../c", "/c"),
        ("?c", "/a/b?c"),
        ("//other.example:%d/c", "/c"),
        ("HTTP://other.example:%d/c", "/c"),
        ("/é", "/%C3%A9"),
        ("/é".encode().decode("latin-1"), "/%C3%A9"),
    ],
)
def test_where_a_redirect_leads(server: FileServer, origin: Origin, location: str, asked: str) -> None:
    server.responses["/a/b"] = redirect(location.replace("%d", str(server.port)))
    fetch(origin, f"{server.url}/a/b")
    assert server.paths == ["/a/b", asked]


def test_five_redirects_are_followed_and_a_sixth_is_not(server: FileServer, origin: Origin) -> None:
    server.responses |= {f"/{number}": redirect(f"/{number + 1}") for number in range(1, 7)}
    assert fetch(origin, f"{server.url}/2")[1] == b"sound"
    server.requests.clear()
    assert failure(origin, f"{server.url}/1") == ("unreachable", None)
    assert server.paths == [f"/{number}" for number in range(1, 7)]


@pytest.mark.parametrize(
    "location",
    [
        "",
        "ftp://files.example/",
        "file:///etc/passwd",
        "http://user@files.example/",
        "http://[::1",
        "http://a:b/",
        "/a",
    ],
)
def test_redirects_that_lead_nowhere(server: FileServer, origin: Origin, location: str) -> None:
    server.responses["/a"] = redirect(location)
    assert failure(origin, f"{server.url}/a") == ("unreachable", None)


def test_a_redirect_to_no_place(server: FileServer, origin: Origin) -> None:
    server.responses["/a"] = response(302)
    assert failure(origin, f"{server.url}/a") == ("unreachable", None)
    assert server.connections == 1


def test_the_body_of_a_redirect_is_not_part_of_the_file(server: FileServer, origin: Origin) -> None:
    server.responses["/a"] = response(302, b"moved", {"Location": "/b"})
    assert fetch(origin, f"{server.url}/a")[1] == b"sound"


def test_an_address_that_is_not_public_is_not_connected_to(server: FileServer) -> None:
    assert failure(Origin(network(allow_private=False), PATIENT), server.url) == ("forbidden_address", None)
    assert not server.connections


@pytest.mark.parametrize("location", ["/b", "http://other.example:%d/b"])
def test_each_redirect_is_checked_anew(server: FileServer, location: str) -> None:
    open_first = network()

    def lead_inside(sock: socket.socket) -> None:
        open_first.allow_private = False
        sock.sendall(redirect(location.replace("%d", str(server.port))))

    server.responses["/a"] = lead_inside
    assert failure(Origin(open_first, PATIENT), f"{server.url}/a") == ("forbidden_address", None)
    assert server.paths == ["/a"]


# What is known already


def test_a_file_that_has_not_changed_is_not_sent_again(server: FileServer, origin: Origin) -> None:
    server.responses["/a"] = redirect("/b")
    server.responses["/b"] = b"HTTP/1.1 304 Same\r\nCache-Control: max-age=60\r\nETag: other\r\n\r\n"
    assert fetch(origin, f"{server.url}/a", KNOWN) == (Fetched(False, 0, KNOWN, 60), b"")
    for number in (0, 1):
        sent = server.headers(number)
        assert (sent["if-none-match"], sent["if-modified-since"]) == (KNOWN.etag, KNOWN.last_modified)


@pytest.mark.parametrize("known", [None, Validators()])
def test_a_file_of_which_nothing_is_known_has_to_be_sent(
    server: FileServer, origin: Origin, known: Validators | None
) -> None:
    server.default = response(304)
    assert failure(origin, server.url, known) == ("unreachable", None)
    assert not server.headers().keys() & {"if-none-match", "if-modified-since"}


def test_a_file_that_has_changed(server: FileServer, origin: Origin) -> None:
    server.default = response(body=b"new", headers={"ETag": '"\xfc"', "Cache-Control": "max-age=7"})
    fetched, body = fetch(origin, server.url, KNOWN)
    assert (fetched, body) == (Fetched(True, 3, Validators(etag='"\xfc"'), 7), b"new")
    fetch(origin, server.url, fetched.validators)
    assert server.headers()["if-none-match"] == '"\xfc"'


def test_validators_that_are_too_long_are_not_kept(server: FileServer, origin: Origin) -> None:
    server.default = response(headers={"ETag": "x" * (MAX_VALIDATOR_LENGTH + 1), "Last-Modified": "y"})
    assert fetch(origin, server.url)[0].validators == Validators("", "y")


# Statuses


@pytest.mark.parametrize("status", [400, 401, 404, 410, 416, 500, 503, 999])
def test_an_error_of_the_server_has_its_status(server: FileServer, origin: Origin, status: int) -> None:
    server.default = response(status, b"<html>")
    into = io.BytesIO()
    assert failure(origin, server.url, into=into) == ("not_found", status)
    assert not into.getvalue()


@pytest.mark.parametrize("status", [0, 101, 201, 203, 204, 205, 206, 300, 304, 305, 399])
def test_only_200_is_a_file(server: FileServer, origin: Origin, status: int) -> None:
    server.default = response(status, b"sound").replace(f" {status} ".encode(), b" %03d " % status)
    into = io.BytesIO()
    assert failure(origin, server.url, into=into) == ("unreachable", None)
    assert not into.getvalue()


# Bodies

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\n"
OTHER = response(body=b"other", headers={"ETag": "other"})


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (response(body=b""), b""),
        (response(body=b"sound") + b"garbage", b"sound"),
        (response(body=b"sound") + OTHER, b"sound"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nETag: early\r\n\r\n" + response(body=b"sound"), b"sound"),
        (CHUNKED + b"3;a=b\r\nsou\r\n2\r\nnd\r\n0\r\nETag: trailer\r\n\r\n", b"sound"),
        (CHUNKED + b"5\r\nsound\r\n0\r\n\r\n" + OTHER, b"sound"),
        (UNTIL_CLOSED + b"sound", b"sound"),
        (b"HTTP/1.0 200 OK\r\n\r\nsound", b"sound"),
        (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nsound", b"sound"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_body_as_http_frames_it(server: FileServer, origin: Origin, sent: bytes, body: bytes, at_once: bool) -> None:
    def send(sock: socket.socket) -> None:
        for byte in sent:
            sock.sendall(bytes((byte,)))
            gevent.sleep(0)

    server.default = sent if at_once else send
    fetched, received = fetch(origin, server.url)
    assert (received, fetched.bytes, fetched.validators) == (body, len(body), Validators())


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Len", b"ICY 200 OK\r\n\r\nsound", b"HTTP/1.1 200 OK\nETag: a\n\n",
        response(body=b"sound")[:-1], CHUNKED + b"5\r\nsound\r\n", CHUNKED + b"5\r\nsound\r\n0\r\n", CHUNKED + b"zz\r\nsound\r\n",
        CHUNKED + b"5\r\nsoundX\r\n", CHUNKED + b"fffffffffffffffff\r\nsound", b"HTTP/1.1 100 Continue\r\n\r\n",
        response(body=b"sound", headers={"Content-Length": "-5"}), response(body=b"sound", headers={"Content-Length": "five"}),
        response(body=b"sound", headers={"Content-Length": "9" * 30}),
        # Python makes no number of so many digits.
        response(body=b"sound", headers={"Content-Length": "5".zfill(5000)}),
        response(body=b"sound", headers={"Transfer-Encoding": "chunked"}),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nsound!",
        response(body=b"sound", headers={"X": "a" * MAX_HEAD_BYTES}), b"HTTP/1.1 100 Continue\r\n\r\n" * 2000 + OTHER,
    ],
)  # fmt: skip
def test_what_is_not_http(server: FileServer, origin: Origin, sent: bytes) -> None:
    server.default = sent
    assert failure(origin, server.url) == ("unreachable", None)


def test_a_connection_that_is_reset(server: FileServer, origin: Origin) -> None:
    def reset(sock: socket.socket) -> None:
        sock.sendall(response(body=b"sound" * 100)[:-1])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    server.default = reset
    assert failure(origin, server.url) == ("unreachable", None)


def test_a_file_may_have_so_many_bytes(server: FileServer, origin: Origin) -> None:
    body = os.urandom(PATIENT.max_bytes)
    for server.default in (response(body=body), UNTIL_CLOSED + body):
        assert fetch(origin, server.url)[1] == body


def test_a_longer_one_is_not_even_begun(server: FileServer, origin: Origin) -> None:
    server.default = server.after(response(headers={"Content-Length": str(PATIENT.max_bytes + 1)}))
    assert failure(origin, server.url) == ("too_large", None)
    assert server.closed_by_client.wait(30)


@pytest.mark.parametrize("start", [UNTIL_CLOSED, CHUNKED])
def test_one_without_end_is_cut_off(server: FileServer, origin: Origin, start: bytes) -> None:
    data = b"x" * 5000 if start is UNTIL_CLOSED else b"1388\r\n%b\r\n" % (b"x" * 5000)
    server.default = server.after(start, server.endless(data))
    into = io.BytesIO()
    assert failure(origin, server.url, into=into) == ("too_large", None)
    assert len(into.getvalue()) <= PATIENT.max_bytes
    assert server.closed_by_client.wait(30)


def test_a_large_file_takes_little_memory(server: FileServer, tmp_path: Path) -> None:
    size = 16 << 20

    def send(sock: socket.socket) -> None:
        sock.sendall(response(headers={"Content-Length": str(size)}))
        piece = bytes(65536)
        for _ in range(size // len(piece)):
            sock.sendall(piece)

    server.default = send
    path = tmp_path / "file"
    tracemalloc.start()
    try:
        with path.open("wb") as into:
            fetched = Origin(network()).fetch("app", server.url, into)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert fetched.bytes == path.stat().st_size == size
    assert peak < 1 << 20


def test_a_full_disk_is_no_failure_of_the_file(server: FileServer, origin: Origin) -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError) as caught:  # noqa: PT011
        origin.fetch("app", server.url, full)
    assert caught.value.errno == errno.ENOSPC


# Time

HEAD = response(headers={"Content-Length": "50000"})


@pytest.mark.parametrize("kind", ["silent", "head that drips", "body that is quick enough"])
def test_who_takes_too_long_is_given_up(server: FileServer, quick_origin: Origin, kind: str) -> None:
    server.default = {
        "silent": server.hang,
        "head that drips": server.after(b"HTTP/1.1 200 OK\r\nX: ", server.endless(b"x", 0.01)),
        "body that is quick enough": server.after(HEAD, server.endless(b"x" * 300, 0.02)),
    }[kind]
    assert failure(quick_origin, server.url) == ("timeout", None)
    assert server.closed_by_client.wait(30)


@pytest.mark.parametrize(
    "kind",
    ["silent", "one that drips", "one that is just too slow", "chunks with long extensions", "trailers without end"],
)
def test_a_body_that_is_too_slow_is_given_up_early(server: FileServer, kind: str) -> None:
    server.default = {
        "silent": server.after(HEAD),
        "one that drips": server.after(HEAD, server.endless(b"x", 0.01)),
        "one that is just too slow": server.after(HEAD, server.endless(b"x" * 15, 0.02)),
        "chunks with long extensions": server.after(CHUNKED + b"1;", server.endless(b"x" * 65536)),
        "trailers without end": server.after(CHUNKED + b"0\r\n", server.endless(b"X: y\r\n" * 10000)),
    }[kind]
    origin = Origin(network(), replace(QUICK, seconds=50))
    with gevent.Timeout(40):
        assert failure(origin, server.url) == ("timeout", None)
    assert server.closed_by_client.wait(30)


def test_a_file_may_be_made_when_it_is_asked_for(server: FileServer) -> None:
    """The least rate counts once the head has come."""

    def send(sock: socket.socket) -> None:
        gevent.sleep(1.5 * QUICK.rate_seconds)
        sock.sendall(response(body=b"sound"))

    server.default = send
    origin = Origin(network(), replace(PATIENT, rate_seconds=QUICK.rate_seconds))
    assert fetch(origin, server.url)[1] == b"sound"


def test_the_time_is_that_of_all_redirects_together(server: FileServer, quick_origin: Origin) -> None:
    """If each had its own, the sixth would be one too many."""

    def send(sock: socket.socket) -> None:
        gevent.sleep(0.2)
        sock.sendall(redirect("/"))

    server.default = send
    assert failure(quick_origin, server.url) == ("timeout", None)


def test_a_name_that_does_not_resolve_in_time() -> None:
    hold, release = os.pipe()

    def resolve(host: str, port: int) -> list[str]:
        with os.fdopen(hold) as pipe:
            pipe.read()
        return LOOPBACK

    try:
        assert failure(Origin(network(resolve=resolve), QUICK), "http://slow.example/") == ("timeout", None)
    finally:
        os.close(release)


def test_a_fetch_that_is_given_up_closes_its_connection(server: FileServer) -> None:
    server.default = server.after(HEAD)
    fetching = gevent.spawn(Origin(network()).fetch, "app", server.url, io.BytesIO())
    while not server.requests:
        gevent.sleep(0.001)
    fetching.kill()
    assert server.closed_by_client.wait(30)


# Connections


def test_a_name_that_is_not_known() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    assert failure(Origin(network(resolve=resolve), PATIENT), "http://files.example/") == ("unreachable", None)


def test_a_connection_that_is_refused(server: FileServer, origin: Origin) -> None:
    server.stop()
    assert failure(origin, server.url) == ("unreachable", None)


def test_tls_is_verified(tmp_path: Path) -> None:
    pem = tmp_path / "localhost.pem"
    pem.write_text(CERTIFICATE)
    server = FileServer(certfile=str(pem), keyfile=str(pem))
    trusting = tls_context()
    trusting.load_verify_locations(cafile=str(pem))
    try:
        url = f"https://localhost:{server.port}/"
        assert failure(Origin(network(), PATIENT), url) == ("unreachable", None)
        other = f"https://files.example:{server.port}/"
        assert failure(Origin(network(tls=trusting), PATIENT), other) == ("unreachable", None)
        assert fetch(Origin(network(tls=trusting), PATIENT), url)[1] == b"sound"
    finally:
        server.stop()


def test_a_server_that_does_not_speak_tls() -> None:
    server = StreamServer(("127.0.0.1", 0), lambda sock, _: sock.sendall(response(400)))
    server.start()
    assert failure(Origin(network(), PATIENT), f"https://localhost:{server.server_port}/") == ("unreachable", None)
    server.stop(timeout=0)


# Turns, and what is counted


def test_an_app_s_share_leaves_the_others_theirs(server: FileServer) -> None:
    let_go = Flag()

    def wait(sock: socket.socket) -> None:
        let_go.wait()
        sock.sendall(response(body=b"sound"))

    server.responses["/slow"] = wait
    origin = Origin(network())
    slow = [gevent.spawn(fetch, origin, f"{server.url}/slow") for _ in range(MAX_FETCHES_OF_APP + 2)]
    while len(server.requests) < MAX_FETCHES_OF_APP:
        gevent.sleep(0.001)
    assert origin.fetch("other", server.url, io.BytesIO()).bytes == 5
    assert server.paths == ["/slow"] * MAX_FETCHES_OF_APP + ["/"]
    let_go.set()
    assert [each.get(timeout=30)[1] for each in slow] == [b"sound"] * len(slow)


def test_the_wait_for_a_turn_is_not_part_of_the_time(server: FileServer) -> None:
    """The last wait for 2.7 s and take another 0.3 s."""

    def send(sock: socket.socket) -> None:
        gevent.sleep(0.3)
        sock.sendall(response(body=b"sound"))

    server.default = send
    origin = Origin(network(), replace(PATIENT, seconds=2.5))
    all_of_them = [gevent.spawn(fetch, origin, server.url) for _ in range(10 * MAX_FETCHES_OF_APP)]
    assert [each.get(timeout=40)[1] for each in all_of_them] == [b"sound"] * len(all_of_them)


def test_what_is_counted(server: FileServer, origin: Origin) -> None:
    def counted(outcome: str) -> float:
        return REGISTRY.get_sample_value("switchroom_media_fetches_total", {"outcome": outcome}) or 0.0

    outcomes = ("fetched", "unchanged", "not_found", "aborted")
    before = {outcome: counted(outcome) for outcome in outcomes}
    bytes_before = REGISTRY.get_sample_value("switchroom_media_fetched_bytes_total") or 0.0
    fetch(origin, server.url)
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError):  # noqa: PT011
        origin.fetch("app", server.url, full)
    server.default = response(304)
    fetch(origin, server.url, KNOWN)
    server.default = response(404)
    failure(origin, server.url)
    assert {outcome: counted(outcome) - before[outcome] for outcome in outcomes} == dict.fromkeys(outcomes, 1)
    assert REGISTRY.get_sample_value("switchroom_media_fetched_bytes_total") == bytes_before + 5


# Anything


@pytest.fixture(scope="module")
def lasting_server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.stop()


PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\n", b"HTTP/1.1 304 Same\r\n", b"HTTP/1.0 100 \r\n", b"HTTP/1.1 404 No\r\n",
        b"Content-Length: 5\r\n", b"Content-Length: 0x5\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n",
        b"Location: http://[\r\n", b"Location: http://\xff/\r\n", b"Location: //user@a:b\r\n", b"Location: \xc3\r\n", b"ETag: \x80\r\n",
        b"Cache-Control: max-age=\xb2\r\n", b"Expires: \xff\r\n", b"Age: \xb9\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n",
        b"\r\n", b"\n", b"5\r\n", b"sound", b"0\r\n\r\n", b": \r\n", b"\x00",
    ]
)  # fmt: skip


@given(st.lists(PIECES | st.binary(max_size=8), max_size=12).map(b"".join), st.sampled_from([None, KNOWN]))
def test_whatever_comes_is_a_file_or_has_a_reason(
    lasting_server: FileServer, sent: bytes, known: Validators | None
) -> None:
    lasting_server.default = sent
    origin = Origin(network(), PATIENT)
    try:
        fetched, body = fetch(origin, f"{lasting_server.url}/a", known)
    except AudioFailed as failed:
        reason, has_status = failed.reason, failed.http_status is not None
    else:
        assert fetched.bytes == len(body)
        assert fetched.modified or known is not None
        return
    assert reason in {"not_found", "unreachable", "too_large", "timeout"}
    assert has_status == (reason == "not_found")
