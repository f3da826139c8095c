"""The HTTP server over real sockets."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Callable, Iterator
from io import BufferedReader, RawIOBase, StringIO
from typing import Any

import gevent
import pytest
import structlog
from flask import Flask, Response, request
from gevent import pywsgi
from gevent.event import Event as Flag
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from controller.commands import Play
from controller.errors import StoreUnavailable
from switchroom import logs
from tests.unit.web_fakes import HEADERS, KEY, OTHER_HEADERS, ROOM, SESSION, FakeController, FakeStreams
from web.app import App, create_app
from web.clients import Proxies
from web.context import CONNECTION
from web.server import Bounds, Server, _read_fields, _Rejected, answer_no_more

PLAY = f"/api/v1/conferences/{ROOM}/play"
MUTE = f"/api/v1/sessions/{SESSION}/commands/conference/mute"
AUTH = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())

Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[Server] = []

    def start_one(app: Flask | None = None, proxies: Proxies | None = None, **bounds: Any) -> Server:
        app = app or create_app(FakeController(), FakeStreams())
        body_limit = app.body_limit if isinstance(app, App) else None
        server = Server(app, "127.0.0.1", 0, body_limit=body_limit, bounds=Bounds(**bounds), proxies=proxies)
        server.start()
        servers.append(server)
        return server

    yield start_one
    for server in servers:
        server.stop(0)


class Client:
    """One connection, bytes in and answers out."""

    def __init__(self, server: Server, address: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(server.address, timeout=30, source_address=(address, 0))
        self.file = self.socket.makefile("rb")

    def send(self, text: str | bytes) -> Client:
        self.socket.sendall(text.encode() if isinstance(text, str) else text)
        return self

    def ask(self, method: str, path: str, body: str = "", headers: str = "") -> Client:
        length = f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n" if body else ""
        return self.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{AUTH}{headers}{length}\r\n{body}")

    def status_line(self) -> int:
        line = self.file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        return int(line.split()[1])

    def answer(self, body: bool = True) -> tuple[int, dict[str, str], Any]:
        status = self.status_line()
        headers = {}
        while (line := self.file.readline().decode().strip()) != "":
            name, _, value = line.partition(": ")
            headers[name] = value
        length = int(headers.get("Content-Length", 0))
        return status, headers, json.loads(self.file.read(length)) if body and length else None

    def ended(self) -> bool:
        return self.file.read() == b""


def assert_envelope(answer: tuple[int, dict[str, str], Any], status: int) -> None:
    assert answer[0] == status
    assert answer[2]["success"] is False
    assert answer[2]["error"]
    assert answer[1]["Content-Type"] == "application/json"
    assert answer[1]["X-Request-ID"]
    assert answer[1]["X-Error-Code"]


def assert_ends_with_400(server: Server, sent: str) -> None:
    """And nothing that follows is taken for another request."""
    client = Client(server).send(f"{sent}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))
    client.socket.shutdown(socket.SHUT_WR)
    assert_envelope(client.answer(), 400)
    assert client.ended()


def test_accepted_sockets_do_not_wait_for_acknowledgements(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    read = pywsgi.WSGIHandler.read_requestline

    def look(self: Any) -> Any:
        seen.append(self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return read(self)

    monkeypatch.setattr(pywsgi.WSGIHandler, "read_requestline", look)
    Client(start()).ask("GET", "/healthz").answer()
    assert seen[0] != 0


def test_a_connection_is_kept_for_the_next_request(start: Start) -> None:
    client = Client(start())
    for _ in range(3):
        status, headers, body = client.ask("POST", MUTE).answer()
        assert (status, body["status"]) == (202, "muted")
        assert "Connection" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/conferences",
        "///api/v1/conferences",
        "/%2fapi/v1/conferences",
        "http://x/api/v1/conferences",
        "https://other:1//api/v1/conferences",
    ],
)
def test_no_spelling_of_a_path_gets_past_authentication(start: Start, path: str) -> None:
    client = Client(start()).send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert_envelope(client.answer(), 401)


@pytest.mark.parametrize(
    ("path", "status"), [("//evil.example/", 404), ("/", 302), ("http://evil.example/", 302), ("?x", 400)]
)
def test_no_path_leads_elsewhere(start: Start, path: str, status: int) -> None:
    client = Client(start()).send(f"GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert client.status_line() == status
    head = b"".join(iter(client.file.readline, b"\r\n")).decode()
    assert "evil" not in head
    assert ("Location: /docs" in head) == (status == 302)


def test_slashes_at_the_beginning_are_another_path(start: Start) -> None:
    client = Client(start()).send(f"GET //api/v1/conferences HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n")
    assert_envelope(client.answer(), 404)


def test_requests_sent_ahead_are_answered_in_order(start: Start) -> None:
    client = Client(start()).ask("GET", "/healthz").ask("POST", MUTE, "{}").ask("GET", "/nothing")
    assert [client.answer()[0] for _ in range(3)] == [200, 202, 404]


def test_clients_that_send_ahead_take_turns(start: Start) -> None:
    app, asked = Flask("turns"), []

    @app.get("/<who>")
    def note(who: str) -> str:
        asked.append(who)
        return ""

    server = start(app)
    clients = {name: Client(server).ask("GET", f"/{name}") for name in ("one", "other")}
    for client in clients.values():
        client.answer(body=False)
    asked.clear()
    for name, client in clients.items():
        client.send(f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
    for client in clients.values():
        for _ in range(20):
            client.answer(body=False)
    assert {*asked[:4]} == {*clients}, asked


def test_connection_close_is_honoured(start: Start) -> None:
    client = Client(start()).ask("GET", "/healthz", headers="Connection: close\r\n")
    assert client.answer()[1]["Connection"] == "close"
    assert client.ended()


def test_head_has_headers_and_no_body(start: Start) -> None:
    client = Client(start()).ask("HEAD", "/healthz").ask("GET", "/healthz")
    status, headers, _ = client.answer(body=False)
    assert (status, headers["Content-Length"]) == (200, "15")
    assert client.answer()[2] == {"status": "ok"}


def test_head_of_a_stream_has_no_body(start: Start) -> None:
    """Not even its end, which would be read as the beginning of the next response."""
    client = Client(start()).ask("HEAD", "/api/v1/events").ask("GET", "/healthz")
    assert client.answer(body=False)[1]["Content-Type"] == "text/event-stream"
    assert client.answer()[2] == {"status": "ok"}


def test_a_chunked_body_is_read(start: Start) -> None:
    body = '{"name": "standup"}'
    chunks = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    client = Client(start())
    client.ask(
        "POST",
        "/api/v1/conferences",
        headers="Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n",
    ).send(chunks)
    assert client.answer()[0] == 201
    assert client.ask("GET", "/healthz").answer()[0] == 200


def test_expect_continue_is_answered_before_the_body(start: Start) -> None:
    client = Client(start())
    client.send(
        f"POST /api/v1/conferences HTTP/1.1\r\nHost: x\r\n{AUTH}Expect: 100-continue\r\n"
        "Content-Type: application/json\r\nContent-Length: 16\r\n\r\n"
    )
    assert client.status_line() == 100
    assert client.file.readline() == b"\r\n"
    client.send('{"name": "room"}')
    assert client.answer()[0] == 201


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(f"Content-Length: {10**9}\r\n\r\n{{", id="declared and never sent"),
        pytest.param(f"Content-Length: {10**9}\r\n\r\n" + "x" * 500_000, id="being sent"),
        pytest.param("Transfer-Encoding: chunked\r\n\r\n" + f"{10**7:x}\r\n" + "x" * 500_000, id="in chunks"),
        pytest.param(f"Expect: 100-continue\r\nContent-Length: {10**9}\r\n\r\n", id="announced"),
    ],
)
def test_a_large_body_is_refused_without_reading_it(start: Start, sent: str) -> None:
    client = Client(start())
    head = f"POST {MUTE} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Type: application/json\r\n"
    client.send(head + sent)
    answer = client.answer()
    assert_envelope(answer, 413)
    assert answer[1]["Connection"] == "close"
    client.socket.shutdown(socket.SHUT_WR)
    assert client.ended()


def test_a_large_body_without_a_key_is_401(start: Start) -> None:
    client = Client(start()).send(f"POST {MUTE} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    assert_envelope(client.answer(), 401)


def test_a_client_that_sends_without_end_is_cut_off(start: Start) -> None:
    client = Client(start(linger=60.0, lingered=1_000_000))
    client.send(f"POST {MUTE} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: {10**12}\r\n\r\n")
    with pytest.raises(OSError, match=r"reset|pipe"):
        client.send(b"x" * 100_000_000)


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param("P", id="request line"),
        pytest.param(f"POST {MUTE} HTTP/1.1\r\nX-Sl", id="header"),
        pytest.param(f"POST {MUTE} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 10\r\n\r\n{{", id="body"),
        pytest.param(
            f"POST {MUTE} HTTP/1.1\r\nHost: x\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n5\r\n{{", id="chunked body"
        ),
    ],
)
def test_a_slow_client_is_cut_off(start: Start, begun: str) -> None:
    client = Client(start(read=0.05)).send(begun)
    assert_envelope(client.answer(), 408)
    client.socket.shutdown(socket.SHUT_WR)
    assert client.ended()


class Arriving(RawIOBase):
    """Bytes that come so many at a time, and then no more."""

    def __init__(self, data: bytes, at_once: int) -> None:
        self._data, self._at_once = data, at_once

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece, self._data = self._data[: self._at_once], self._data[self._at_once :]
        buffer[: len(piece)] = piece
        return len(piece)


def fields_of(data: bytes, at_once: int, left: int) -> Any:
    """The fields that are read of it, or with which status it is refused, and what is left of it."""
    arriving = BufferedReader(Arriving(data, at_once))
    try:
        found: Any = _read_fields(arriving, left)
    except _Rejected as rejected:
        return rejected.status
    return found, arriving.read()


FIELD_PARTS = (
    b"Host",
    b"X-1",
    b":",
    b": ",
    b"a",
    b"\xe9",
    b" ",
    b"\t",
    b"\0",
    b"\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b"A: b\r\n",
)


@given(st.lists(st.sampled_from(FIELD_PARTS)).map(b"".join), st.integers(0, 60))
@example(b"A: b\r\nC:\r\n\r\nGET / HTTP/1.1\r\n\r\n", 60)
@example(b"\r\nA: b\r\n\r\n", 60)
@example(b"A: b\r\n" * 100 + b"\r\n", 1000)
@example(b"A: b\r\n" * 101 + b"\r\n", 1000)
def test_fields_are_read_the_same_however_they_arrive(data: bytes, left: int) -> None:
    whole, *pieces = (fields_of(data, at_once, left) for at_once in (10_000, 1, 7))
    assert pieces == [whole] * 2


def test_bytes_that_keep_coming_do_not_move_the_deadline(start: Start) -> None:
    client = Client(start(read=0.3)).send("GET /healthz HTTP/1.1\r\n")

    def drip() -> None:
        while True:
            client.send("X-Drip: 1\r\n")
            gevent.sleep(0.02)

    dripping = gevent.spawn(drip)
    try:
        assert client.answer()[0] == 408
    finally:
        dripping.kill()


def test_the_deadline_is_for_reading_not_for_the_application(start: Start) -> None:
    app = Flask(__name__)

    @app.get("/")
    def slow() -> dict[str, bool]:
        gevent.sleep(0.8)
        return {"done": True}

    client = Client(start(app, read=0.5))
    assert client.ask("GET", "/").answer()[2] == {"done": True}
    assert client.ask("GET", "/").answer()[2] == {"done": True}


def test_an_idle_connection_is_closed(start: Start) -> None:
    client = Client(start(idle=0.05))
    client.ask("GET", "/healthz").answer()
    assert client.ended()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("\x00\x01\x02\r\n\r\n", 400),
        ("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /" + "a" * 9000 + " HTTP/1.1\r\n\r\n", 414),
        ("GET / HTTP/1.1\r\nX-Large: " + "a" * 40_000 + "\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\n" + "X-Many: a\r\n" * 4_000 + "\r\n", 431),
        ("GET / HTTP/1.1\r\n" + "X-Many: a\r\n" * 200 + "\r\n", 431),
    ],
)
def test_what_is_not_http_is_answered_in_the_envelope(start: Start, sent: str, status: int) -> None:
    client = Client(start()).send(sent.encode("latin-1"))
    assert_envelope(client.answer(), status)
    client.socket.shutdown(socket.SHUT_WR)
    assert client.ended()


@pytest.mark.parametrize(
    "line",
    [
        *(
            "GET /healthz",
            "GET /healthz ",
            "GET  /healthz HTTP/1.1",
            "GET\t/healthz HTTP/1.1",
            "GET /healthz\tHTTP/1.1",
        ),
        *(" GET /healthz HTTP/1.1", "GET /healthz HTTP/1.1 ", "GET /healthz HTTP/1.1\t", "GET /healthz HTTP/1.1\r"),
        *("GET /healthz HTTP/3.0", "GET /healthz HTTP/2.0", "GET /healthz HTTP/1.2", "GET /healthz HTTP/0.9"),
        *("GET /healthz HTTP/1.10", "GET /healthz HTTP/01.1", "GET /healthz http/1.1", "GET /healthz FTP/1.1"),
        *("GET healthz HTTP/1.1", "GET api/v1/conferences HTTP/1.1", "GET ftp://x/healthz HTTP/1.1", "GET * HTTP/1.1"),
        *("CONNECT x:80 HTTP/1.1", "GET http:///healthz HTTP/1.1", "GET http://a b/healthz HTTP/1.1"),
        "GET http://user:word@x/healthz HTTP/1.1",
        *("GET /healthz#x HTTP/1.1", "GET /h\x0bz HTTP/1.1", "GET /h\xa0z HTTP/1.1", "GET /h\x85z HTTP/1.1"),
        *("G@T /healthz HTTP/1.1", "G:T /healthz HTTP/1.1", "/healthz HTTP/1.1"),
    ],
)
def test_a_request_line_that_others_may_read_otherwise(start: Start, line: str) -> None:
    assert_ends_with_400(start(), f"{line}\r\nHost: x\r\n\r\n")


@pytest.mark.parametrize(
    "fields",
    [
        *("", "Host: x\r\nHost: x\r\n", "Host: x\r\nHost: y\r\n", "Host:\r\n", "Host: a b\r\n", "Host: a/b\r\n"),
        *("Host: a@b\r\n", "Host: a:b\r\n", "Host: a:1:2\r\n", "Host: é\r\n", "Host: a,b\r\n", "Host: [::1\r\n"),
        *("Host : x\r\n", " Host: x\r\n", "\tHost: x\r\n", "Host\t: x\r\n", "Host: x\n", "Host: x\r", "Host: x\r\r\n"),
        *(f"Host: x\r\n{more}" for more in ("X-Folded: a\r\n b\r\n", "X-Folded: a\r\n\tb\r\n", "X-Space : a\r\n")),
        *(f"Host: x\r\n{more}" for more in ("X-Nul: \x00\r\n", "X-Return: a\rb\r\n", "X-Line: a\nb: c\r\n")),
        *(
            f"Host: x\r\n{more}"
            for more in ("no colon\r\n", ": no name\r\n", "X-\xe9: a\r\n", "X y: a\r\n", "\n", "X\r\n")
        ),
        "Host: x\r\nX-Long: " + " " * 30_000 + "\x00\r\n",
    ],
)
def test_fields_that_others_may_read_otherwise(start: Start, fields: str) -> None:
    assert_ends_with_400(start(), f"GET /healthz HTTP/1.1\r\n{fields}\r\n")


@pytest.mark.parametrize(
    "framing",
    [
        # Both ways at once, in either order, and twice the same.
        *("Content-Length: 0\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 0"),
        *("Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 0", "Content-Length: 5, 5"),
        *("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked, chunked"),
        # Lengths that are none.
        *(
            f"Content-Length: {length}"
            for length in ("", "-1", "+5", "1_0", "0x5", "5 5", "5;", "5.0", "\xb2", "9" * 19)
        ),
        # Codings that are none, or hidden.
        *(f"Transfer-Encoding: {coding}" for coding in ("", "identity", "gzip", "gzip, chunked", "chunked, identity")),
        *(
            f"Transfer-Encoding: {coding}"
            for coding in ("xchunked", "chunkedx", "\x0bchunked", '"chunked"', "chunked;a")
        ),
        *("Transfer-Encoding:\r\n chunked", "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked"),
    ],
)
def test_a_length_that_others_may_read_otherwise(start: Start, framing: str) -> None:
    assert_ends_with_400(start(), f"POST /healthz HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n0\r\n\r\n")


def test_chunks_are_not_of_http_1_0(start: Start) -> None:
    head = "POST /healthz HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert_ends_with_400(start(), f"{head}0\r\n\r\n")


@pytest.mark.parametrize(
    "chunks",
    [
        *("5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r\n0\n\r\n", "5\r\nhello\r\n0\r\n\n"),
        *("5;a\nb\r\nhello\r\n0\r\n\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n", "5;\x00\r\nhello\r\n0\r\n\r\n"),
        *("5\rX\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "5\r\nhello\rX0\r\n\r\n", "6\r\nhello\r\n0\r\n\r\n"),
        *(f"{size}\r\nhello\r\n0\r\n\r\n" for size in ("", "0x5", "+5", "-5", " 5", "5 ", "5\t", "g", "5h", "\xb2")),
        *(f"{size}\r\nhello\r\n0\r\n\r\n" for size in ("0" * 16 + "5", "f" * 17, "5;" + "a" * 40_000)),
        *("0\r\nX: a\nY: b\r\n\r\n", "0\r\nX : a\r\n\r\n", "0\r\n X: a\r\n\r\n", "0\r\nX\r\n\r\n"),
        "1\r\nx\r\n" * 20_000 + "0\r\n\r\n",
    ],
)
def test_chunks_that_others_may_read_otherwise(start: Start, chunks: str) -> None:
    assert_ends_with_400(start(), f"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")


@pytest.mark.parametrize("size", ["ffffffffffffffff", "40000000", "9", "2"])
@pytest.mark.parametrize("sent", ["", "x", "xx\r"])
def test_a_connection_that_ends_within_a_chunk(start: Start, size: str, sent: str) -> None:
    """A read returns at once then, again and again: who waits for the rest serves nobody else any more."""
    server = start()
    client = Client(server)
    client.send(f"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n{sent}")
    client.socket.shutdown(socket.SHUT_WR)
    assert_envelope(client.answer(), 400)
    assert client.ended()
    assert Client(server).ask("GET", "/healthz").answer()[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        *("GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n", "GET https://y:1/healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
        *(
            f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"
            for host in ("a-b.example:8080", "127.0.0.1", "[::1]:80", "A_b.")
        ),
        *("GET /healthz HTTP/1.0\r\n\r\n", "GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n"),
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Text: \xe9\t\xff\r\nX-Empty:\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 05\r\n\r\nhello",
    ],
)
def test_what_is_unusual_and_clear(start: Start, sent: str) -> None:
    assert Client(start()).send(sent.encode("latin-1")).answer()[2] == {"status": "ok"}


@pytest.mark.parametrize(
    "chunks",
    [
        '13\r\n{"name": "standup"}\r\n0\r\n\r\n',
        '013;a\r\n{"name": "standup"}\r\n000;b="c d"\r\n\r\n',
        '8 ; a = b\r\n{"name":\r\nB\r\n "standup"}\r\n0\r\nX-Sum: 1\r\nHost: y\r\n\r\n',
    ],
)
def test_chunks_that_are_clear(start: Start, chunks: str) -> None:
    client = Client(start())
    head = f"POST /api/v1/conferences HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Type: application/json\r\n"
    client.send(f"{head}Transfer-Encoding: \tCHUNKED \r\n\r\n{chunks}")
    assert client.answer()[0] == 201
    assert client.ask("GET", "/healthz").answer()[0] == 200


def test_http_1_0_is_not_told_to_continue(start: Start) -> None:
    """It knows no answer before the answer, and would take it for that."""
    client = Client(start())
    client.send(
        f"POST /api/v1/conferences HTTP/1.0\r\n{AUTH}Expect: 100-continue\r\n"
        'Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{"name": "room"}'
    )
    assert client.answer()[0] == 201


def test_a_field_with_an_underscore_does_not_pass_for_another(start: Start) -> None:
    client = Client(start())
    client.send(f"GET /api/v1/sessions HTTP/1.1\r\nHost: x\r\nX_App_ID: demo\r\nX_API_Key: {KEY}\r\n\r\n")
    assert client.answer()[0] == 401


def test_a_field_given_twice_is_neither_of_its_values(start: Start) -> None:
    client = Client(start())
    client.send(f"GET /api/v1/sessions HTTP/1.1\r\nHost: x\r\n{AUTH}X-API-Key: other\r\n\r\n")
    assert client.answer()[0] == 401


def test_names_of_fields_have_no_case_and_values_no_margin(start: Start) -> None:
    client = Client(start())
    client.send(f"GET /api/v1/sessions HTTP/1.1\r\nhost:x\r\nx-app-id:demo\r\nX-API-KEY: \t{KEY} \t\r\n\r\n")
    assert client.answer()[0] == 200


def test_an_answer_without_a_known_length_goes_out_in_chunks(start: Start) -> None:
    app = Flask(__name__)

    @app.get("/")
    def stream() -> Any:
        return (part for part in ["one", "two"])

    client = Client(start(app)).ask("GET", "/", headers="Connection: close\r\n")
    assert client.answer()[1]["Transfer-Encoding"] == "chunked"
    assert client.file.read() == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_an_upgrade_request_is_a_plain_request(start: Start) -> None:
    upgrade = "Connection: upgrade\r\nUpgrade: h2c\r\n"
    client = Client(start()).ask("POST", MUTE, "{}", headers=upgrade)
    assert client.answer()[0] == 202
    assert client.ask("GET", "/healthz").answer()[0] == 200


def test_a_websocket_is_refused(start: Start) -> None:
    upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n"
    assert_envelope(Client(start()).ask("GET", "/healthz", headers=upgrade).answer(), 400)


def test_a_connection_that_sends_nothing_is_closed_soon(start: Start) -> None:
    assert Client(start(first=0.05)).ended()


# A client that keeps a connection and has its request wait for it, in every way there is.
SILENT = {
    "sends nothing": "",
    "half a request line": "GET /hea",
    "half a head": "GET /healthz HTTP/1.1\r\nHo",
    "half a body": f"POST {MUTE} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 10\r\n\r\n{{",
    "idle after an answer": "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "reads no answers": "GET /docs HTTP/1.1\r\nHost: x\r\n\r\n" * 400,
    "stays after an error": "nonsense\r\n\r\n",
    "body left unread": f"POST {MUTE} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 1000000\r\n\r\n",
}


@pytest.mark.parametrize("sent", SILENT.values(), ids=SILENT)
def test_no_connections_silence_the_server(start: Start, sent: str) -> None:
    server = start(connections=8, per_address=8, first=60, read=60, idle=60, linger=60)
    held = [Client(server).send(sent) for _ in range(30)]
    for _ in range(3):
        assert Client(server).ask("GET", "/healthz").answer()[0] == 200
    assert len(held) == 30


def test_a_thousand_connections_do_not_silence_the_server(start: Start) -> None:
    server = start(per_address=1000, first=60)
    held = [Client(server) for _ in range(1000)]
    assert Client(server).ask("GET", "/healthz").answer()[2] == {"status": "ok"}
    assert len(held) == 1000


def test_the_one_that_waited_longest_makes_room(start: Start) -> None:
    server = start(connections=20, per_address=3)
    first, second, third = (Client(server) for _ in range(3))
    for client in (first, second, third, first):
        assert client.ask("GET", "/healthz").answer()[0] == 200
    assert Client(server).ask("GET", "/healthz").answer()[0] == 200
    assert second.ended()
    assert first.ask("GET", "/healthz").answer()[0] == 200
    assert third.ask("GET", "/healthz").answer()[0] == 200


def test_an_address_fills_its_own_share_only(start: Start) -> None:
    server = start(connections=20, per_address=4)
    other = Client(server, "127.0.0.2")
    assert other.ask("GET", "/healthz").answer()[0] == 200
    held = [Client(server) for _ in range(100)]
    assert other.ask("GET", "/healthz").answer()[0] == 200
    assert held[0].ended()


def test_what_is_being_answered_is_never_cut_off(start: Start) -> None:
    app = Flask(__name__)
    entered, leave = Flag(), Flag()

    @app.get("/hold")
    def hold() -> dict[str, bool]:
        entered.set()
        leave.wait()
        return {"done": True}

    @app.get("/")
    def at_once() -> dict[str, bool]:
        return {"done": True}

    server = start(app, connections=20, per_address=1)
    busy = Client(server).ask("GET", "/hold")
    entered.wait()
    assert Client(server).ended()
    assert Client(server, "127.0.0.2").ask("GET", "/").answer()[0] == 200
    leave.set()
    assert busy.answer()[0] == 200
    assert Client(server).ask("GET", "/").answer()[0] == 200


def test_a_trusted_proxy_has_no_share_and_tells_the_client(start: Start) -> None:
    server = start(connections=20, per_address=2, proxies=Proxies(["127.0.0.1"]))
    clients = [Client(server) for _ in range(5)]
    with capture_logs() as lines:
        for client in clients:
            client.ask("GET", "/healthz", headers="X-Forwarded-For: 192.0.2.9, 198.51.100.7\r\n")
            assert client.answer()[0] == 200
        Client(server, "127.0.0.2").ask("GET", "/healthz", headers="X-Forwarded-For: 192.0.2.9\r\n").answer()
    assert [line["client"] for line in lines] == ["198.51.100.7"] * 5 + ["127.0.0.2"]


def test_only_a_trusted_proxy_says_that_its_client_came_by_https(start: Start) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: {"secure": request.is_secure})
    server = start(app, proxies=Proxies(["127.0.0.1"]))
    said = "X-Forwarded-Proto: https\r\n"
    assert Client(server).ask("GET", "/", headers=said).answer()[2] == {"secure": True}
    assert Client(server).ask("GET", "/").answer()[2] == {"secure": False}
    assert Client(server).ask("GET", "/", headers="X-Forwarded-Proto: http\r\n").answer()[2] == {"secure": False}
    assert Client(server, "127.0.0.2").ask("GET", "/", headers=said).answer()[2] == {"secure": False}


def test_a_full_server_lets_new_connections_in(start: Start) -> None:
    server = start(connections=2, per_address=2)
    first = Client(server).ask("GET", "/healthz")
    assert "Connection" not in first.answer()[1]
    second = Client(server).ask("GET", "/healthz")
    assert second.answer()[1]["Connection"] == "close"
    assert Client(server).ask("GET", "/healthz").answer()[0] == 200


def test_no_more_connections_than_the_bound_are_served(start: Start) -> None:
    app, at_once = Flask(__name__), []
    entered, leave = Flag(), Flag()

    @app.get("/")
    def hold() -> dict[str, bool]:
        at_once.append(len(at_once))
        entered.set()
        leave.wait()
        return {"done": True}

    server = start(app, connections=1)
    first, second = Client(server).ask("GET", "/"), Client(server).ask("GET", "/")
    entered.wait()
    gevent.idle()
    assert len(at_once) == 1
    leave.set()
    assert first.answer()[0] == 200
    assert second.answer()[0] == 200


def test_stop_finishes_what_is_under_way(start: Start) -> None:
    app = Flask(__name__)
    entered, leave = Flag(), Flag()

    @app.get("/")
    def hold() -> dict[str, bool]:
        entered.set()
        leave.wait()
        return {"done": True}

    server = start(app)
    idle, busy = Client(server), Client(server)
    idle.ask("GET", "/nothing").file.readline()
    busy.ask("GET", "/")
    entered.wait()
    stopping = gevent.spawn(server.stop, 30)
    gevent.idle()
    with pytest.raises(OSError, match="refused"):
        Client(server)
    assert idle.file.read() is not None
    leave.set()
    status, headers, body = busy.answer()
    assert (status, headers["Connection"], body) == (200, "close", {"done": True})
    assert busy.ended()
    stopping.get(timeout=30)


def test_stop_answers_a_request_that_has_arrived_but_not_been_read(start: Start) -> None:
    server = start()
    client = Client(server)
    client.ask("GET", "/healthz").answer()
    client.ask("GET", "/healthz")
    server.stop(5)
    assert client.answer()[0] == 200
    assert client.ended()


def test_stop_answers_the_first_request_of_a_connection_that_has_just_come(start: Start) -> None:
    server = start(last=3.0)
    new, silent = Client(server), Client(server)
    stopping = gevent.spawn(server.stop, 30)
    gevent.idle()
    assert new.ask("GET", "/healthz").answer()[0] == 200
    assert new.ended()
    assert silent.ended()
    stopping.get(timeout=30)


def test_stop_finishes_what_is_under_way_where_the_process_may_set_no_socket_filter(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.server._SO_ATTACH_FILTER", -1)
    server = start()
    client, new = Client(server), Client(server)
    client.ask("GET", "/healthz").answer()
    client.ask("GET", "/healthz")
    new.ask("GET", "/healthz")
    server.stop(5)
    assert client.answer()[0] == new.answer()[0] == 200
    assert client.ended()
    with pytest.raises(OSError, match="refused"):
        Client(server)


def test_stop_resets_no_connection_that_comes_meanwhile() -> None:
    """The kernel accepts none any more once the filter is there, so that none is in its queue when that is closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    early = socket.create_connection(listener.getsockname())
    if not answer_no_more(listener):
        pytest.skip("this process may set no socket filter")
    with pytest.raises(TimeoutError):
        socket.create_connection(listener.getsockname(), timeout=0.2)
    accepted, _ = listener.accept()
    accepted.sendall(b"welcome")
    assert early.recv(7) == b"welcome"
    late = gevent.spawn(socket.create_connection, listener.getsockname())
    gevent.idle()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        late.get(timeout=30)


def test_stop_cuts_off_at_its_timeout(start: Start) -> None:
    app = Flask(__name__)
    entered = Flag()

    @app.get("/")
    def hang() -> dict[str, bool]:
        entered.set()
        Flag().wait()
        return {}

    server = start(app)
    client = Client(server).ask("GET", "/")
    entered.wait()
    server.stop(0.05)
    assert_envelope(client.answer(), 503)
    assert client.ended()


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def logged() -> Iterator[Callable[[StringIO], StringIO]]:
    """Has the log written there, as a process does."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)

    def logged(stream: StringIO) -> StringIO:
        logs.configure("info", stream)
        return stream

    yield logged
    structlog.reset_defaults()
    root.handlers[:], root.level = before


def test_a_request_is_a_line_of_fields_in_the_log(start: Start, logged: Callable[[StringIO], StringIO]) -> None:
    stream = logged(StringIO())
    client = Client(start())
    client.ask("GET", "/api/v1/conferences?cursor=secret-cursor", headers="X-Request-ID: r-1\r\n").answer()
    client.ask("GET", "/nothing").answer()
    rejected = client.send("nonsense\r\n\r\n").answer()
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert 0 <= first.pop("ms") < 10_000
    assert first.pop("bytes") > 100
    assert first.pop("timestamp")
    assert first == {
        **{"event": "request", "logger": "web.access", "level": "info", "client": "127.0.0.1"},
        **{
            "method": "GET",
            "path": "/api/v1/conferences",
            "status": 400,
            "broken_off": False,
            "app": "demo",
            "actor": None,
            "request_id": "r-1",
        },
    }
    assert (second["path"], second["status"], second["app"]) == ("/nothing", 404, None)
    assert (third["method"], third["path"], third["status"]) == (None, None, 400)
    assert third["request_id"] == rejected[1]["X-Request-ID"]
    assert 0 <= third["ms"] < 10_000


def test_an_answer_that_its_client_breaks_off_has_its_status_in_the_log(
    start: Start, logged: Callable[[StringIO], StringIO]
) -> None:
    stream = logged(StringIO())
    app = Flask("endless")

    @app.get("/")
    def endless() -> Response:
        return Response((bytes(65536) for _ in range(1 << 20)), 206, {"Content-Length": str(1 << 36)})

    client = Client(start(app))
    client.ask("GET", "/")
    client.socket.recv(1024)
    client.file.close()
    client.socket.close()
    while not stream.getvalue():
        gevent.sleep(0.01)
    line = json.loads(stream.getvalue())
    assert (line["status"], line["broken_off"]) == (206, True)
    assert KEY not in stream.getvalue()
    assert "secret" not in stream.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_hostile_path_stays_in_its_line(start: Start, logged: Callable[[StringIO], StringIO], terminal: bool) -> None:
    stream = logged(Terminal() if terminal else StringIO())
    server = start()
    Client(server).send('GET /\x1b[2J\x9b1m\u202e"status=200 HTTP/1.1\r\nHost: x\r\n\r\n'.encode()).answer()
    Client(server).send('GET /%1b[2J"status=200 HTTP/1.1\r\nHost: x\r\n\r\n').answer()
    lines = stream.getvalue().splitlines()
    shown = re.sub("\x1b\\[[0-9;]*m", "", " ".join(lines))  # without the terminal's own colours
    assert len(lines) == 2
    assert "%1b[2J" in shown
    assert shown.isascii()
    assert shown.isprintable()
    # Quoted, where it could pass for another field.
    assert "status=200" not in shown.split()


def test_a_long_path_is_cut_short(start: Start, logged: Callable[[StringIO], StringIO]) -> None:
    stream = logged(StringIO())
    Client(start()).ask("GET", "/" + "e" * 500).answer()
    assert len(json.loads(stream.getvalue())["path"]) == 256


def test_the_request_body_reaches_the_application_whole(start: Start) -> None:
    app = Flask(__name__)

    @app.post("/")
    def length() -> dict[str, int]:
        return {"length": len(request.get_data())}

    client = Client(start(app))
    assert client.ask("POST", "/", "x" * Bounds().body).answer()[2] == {"length": Bounds().body}


def chunked(body: str, size: int = 5_000) -> str:
    """As a body of unknown length."""
    parts = [body[place : place + size] for place in range(0, len(body), size)]
    return "".join(f"{len(part):x}\r\n{part}\r\n" for part in [*parts, ""])


SENT = {"with its length": lambda body: f"Content-Length: {len(body)}\r\n\r\n{body}"}
SENT["in chunks"] = lambda body: f"Transfer-Encoding: chunked\r\n\r\n{chunked(body)}"


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
@pytest.mark.parametrize(
    ("endpoint", "method", "path", "body", "status"),
    [
        ("sessions.mute", "POST", MUTE, "{}", 202),
        ("webhooks.set_endpoint", "PUT", "/api/v1/webhooks/endpoint", '{"url": "https://app.example.com/"}', 200),
        ("conferences.play", "POST", PLAY, '{"urls": ["https://cdn.example.com/a.wav"]}', 202),
    ],
)
def test_server_and_application_agree_on_how_large_a_body_may_be(
    start: Start, endpoint: str, method: str, path: str, body: str, status: int, sent: Callable[[str], str]
) -> None:
    app = create_app(FakeController(), FakeStreams())
    most = app.body_limits[endpoint]
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Type: application/json\r\n"
    client = Client(start(app)).send(head + sent(body.ljust(most)))
    assert client.answer()[0] == status
    answer = client.send(head + sent(body.ljust(most + 1))).answer()
    assert_envelope(answer, 413)
    assert answer[2]["detail"] == {"max_bytes": most}


def test_the_large_body_of_nobody_is_not_read(start: Start) -> None:
    client = Client(start())
    client.send(
        f"POST {PLAY} HTTP/1.1\r\nHost: x\r\nX-App-ID: demo\r\nX-API-Key: wrong\r\nContent-Length: 100000\r\n\r\n"
    )
    assert_envelope(client.answer(), 401)


def test_a_large_body_is_read_while_the_store_is_away_and_then_answered(start: Start) -> None:
    controller = FakeController()
    controller.authentication_failure = StoreUnavailable("down")
    client = Client(start(create_app(controller, FakeStreams()))).ask("POST", PLAY, "{}".ljust(20_000))
    assert_envelope(client.answer(), 503)
    controller.authentication_failure = None
    assert client.ask("GET", "/healthz").answer()[0] == 200


def test_large_bodies_wait_for_their_turn_and_small_ones_do_not(start: Start) -> None:
    controller = FakeController()
    server = start(create_app(controller, FakeStreams()), large=1)
    bodies = [f'{{"urls": ["https://cdn.example.com/{name}.wav"]}}' for name in ("first", "second", "small")]
    first, second, small = (Client(server) for _ in bodies)
    head = f"POST {PLAY} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Type: application/json\r\nContent-Length: 20000\r\n\r\n"
    first.send(head + bodies[0])
    gevent.idle()
    second.send(head + bodies[1].ljust(20_000))
    assert small.ask("POST", PLAY, bodies[2]).answer()[0] == 202
    first.send(" " * (20_000 - len(bodies[0])))
    assert [client.answer()[0] for client in (first, second)] == [202, 202]
    played = [each.urls[0] for each in controller.asked if isinstance(each, Play)]
    assert played == [f"https://cdn.example.com/{name}.wav" for name in ("small", "first", "second")]


def test_large_bodies_of_one_app_wait_for_its_own_only(start: Start) -> None:
    server = start(large=2, large_of_app=1)
    other = "".join(f"{name}: {value}\r\n" for name, value in OTHER_HEADERS.items())
    play = '{"urls": ["https://cdn.example.com/a.wav"]}'

    def head(key: str) -> str:
        return (
            f"POST {PLAY} HTTP/1.1\r\nHost: x\r\n{key}Content-Type: application/json\r\nContent-Length: 20000\r\n\r\n"
        )

    held = [Client(server).send(head(AUTH) + play) for _ in range(3)]
    gevent.idle()
    assert Client(server).send(head(other) + play.ljust(20_000)).answer()[0] == 403
    for client in held:
        client.send(" " * (20_000 - len(play)))
    assert [client.answer()[0] for client in held] == [202] * 3


def test_a_large_body_counts_once(start: Start) -> None:
    controller = FakeController()
    client = Client(start(create_app(controller, FakeStreams())))
    client.ask("POST", PLAY, '{"urls": ["https://cdn.example.com/a.wav"]}'.ljust(20_000))
    assert client.answer()[0] == 202
    assert controller.admitted == ["demo"]


def test_address_in_use_is_said(start: Start) -> None:
    host, port = start().address
    with pytest.raises(OSError, match="in use"):
        Server(create_app(FakeController(), FakeStreams()), host, port).start()


# Responses without end


class Endless:
    """Gives a byte now and then, until it is ended. `size`: bytes that it gives at first, all at once."""

    def __init__(self, size: int = 1) -> None:
        self.ended = 0
        self.closed = Flag()
        self.news = Flag()
        self._size = size

    def app(self) -> Flask:
        app = Flask("endless")

        @app.get("/")
        def stream() -> Response:
            connection = request.environ[CONNECTION]
            if not connection.begin_stream(self.end):
                return Response(status=503)
            response = Response(self.give())
            response.call_on_close(self.closed.set)
            return response

        return app

    def give(self) -> Iterator[bytes]:
        yield b"x" * self._size
        while not self.ended:
            self.news.wait()
            self.news.clear()
            yield b"x"

    def end(self) -> None:
        self.ended += 1
        self.news.set()


ASK = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def read_head(client: Client) -> int:
    status = client.status_line()
    while client.file.readline().strip():
        pass
    return status


def test_a_stop_ends_streams_at_once(start: Start) -> None:
    endless = Endless()
    server = start(endless.app(), last=60)
    client = Client(server).send(ASK)
    assert read_head(client) == 200
    with gevent.Timeout(30):
        server.stop(60)
    assert client.file.read().endswith(b"0\r\n\r\n")
    assert endless.ended == 1


def test_a_stop_cuts_off_the_stream_of_a_reader_that_does_not_read(start: Start) -> None:
    endless = Endless(size=50_000_000)
    server = start(endless.app(), last=0.2)
    client = Client(server).send(ASK)
    assert read_head(client) == 200
    with gevent.Timeout(30):
        server.stop(60)
    assert endless.closed.wait(0)


def test_no_more_streams_than_there_may_be(start: Start) -> None:
    endless = Endless()
    server = start(endless.app(), streams=1)
    first, second = (Client(server).send(ASK) for _ in range(2))
    assert sorted((read_head(first), read_head(second))) == [200, 503]


def test_the_place_of_a_stream_is_free_again_when_it_has_ended(start: Start) -> None:
    endless = Endless()
    server = start(endless.app(), streams=1)
    client = Client(server).send(ASK)
    read_head(client)
    client.socket.shutdown(socket.SHUT_RDWR)
    with gevent.Timeout(30):
        while read_head(Client(server).send(ASK)) != 200:
            pass


def test_the_stream_of_a_reader_that_is_gone_ends_although_there_is_nothing_to_write(start: Start) -> None:
    endless = Endless()
    server = start(endless.app())
    client = Client(server).send(ASK)
    read_head(client)
    client.file.close()
    client.socket.close()
    assert endless.closed.wait(30)


def test_a_request_that_is_sent_ahead_does_not_end_a_stream(start: Start) -> None:
    endless = Endless()
    client = Client(start(endless.app())).send(ASK)
    read_head(client)
    client.file.readline(), client.file.readline()
    client.send("GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n")
    endless.news.set()
    assert client.file.readline() == b"1\r\n"
    assert endless.ended == 0
    endless.end()
    while client.file.readline() != b"0\r\n":
        pass
    client.file.readline()
    assert read_head(client) == 404


def test_a_quiet_stream_is_not_closed_for_a_new_connection(start: Start) -> None:
    endless = Endless()
    server = start(endless.app(), connections=3, per_address=2)
    streaming = Client(server).send(ASK)
    read_head(streaming)
    waiting = Client(server, "127.0.0.1")
    newcomer = Client(server).send(ASK)
    assert read_head(newcomer) == 200
    assert waiting.ended()
    assert not endless.closed.is_set()


# Bodies that the application reads as they come


def streamed(*, most: int) -> Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]:
    """An application that reads so many bytes, piece by piece, and says how many came."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        count = 0
        try:
            while count < most and (data := environ["wsgi.input"].read(1000)):
                count += len(data)
        except OSError:
            start_response("400 Bad Request", [("Content-Length", "0")])
            return []
        body = str(count).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    return app


@pytest.fixture
def start_streamed() -> Iterator[Start]:
    servers: list[Server] = []

    def start(most: int = 1 << 30, **bounds: Any) -> Server:
        is_put = lambda environ: environ["REQUEST_METHOD"] == "PUT"  # noqa: E731
        servers.append(Server(streamed(most=most), "127.0.0.1", 0, streamed=is_put, bounds=Bounds(**bounds)))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop(0)


def test_a_streamed_body_may_be_of_any_size_and_the_connection_is_kept(start_streamed: Start) -> None:
    client = Client(start_streamed(body=10))
    for _ in range(2):
        client.send(f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 20}\r\n\r\n".encode() + bytes(1 << 20))
        assert client.answer()[::2] == (200, 1 << 20)


def test_a_streamed_body_may_take_longer_than_others(start_streamed: Start) -> None:
    client = Client(start_streamed(read=0.2))
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n").send(bytes(1000))
    gevent.sleep(0.5)
    client.send(bytes(1000))
    assert client.answer()[::2] == (200, 2000)


def test_a_streamed_body_that_is_not_read_to_its_end_ends_the_connection(start_streamed: Start) -> None:
    client = Client(start_streamed(most=1000))
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n").send(bytes(2000))
    status, headers, body = client.answer()
    assert (status, headers["Connection"], body) == (200, "close", 1000)
    assert client.ended()


def test_a_streamed_body_that_breaks_off_is_an_error_of_its_reader(start_streamed: Start) -> None:
    client = Client(start_streamed())
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n").send(bytes(1500))
    client.socket.shutdown(socket.SHUT_WR)
    assert client.answer()[0] == 400
    assert client.ended()


def test_a_body_without_a_length_is_not_streamed(start_streamed: Start) -> None:
    client = Client(start_streamed(body=10))
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
    assert client.answer()[::2] == (200, 5)
