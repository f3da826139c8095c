"""A response that is taken without the parser is what the parser says that it is."""

from __future__ import annotations

import pytest
from geventhttpclient.response import HTTPParseError
from hypothesis import given
from hypothesis import strategies as st

from controller.webhooks.connection import Response, _Parser, _plain

LINES = st.sampled_from(
    [
        "Server: nginx/1.24.0",
        "Date: Fri, 27 Nov 2026 10:00:00 GMT",
        "X:",
        "X: \t a: b",
        "Content-Length: 2",
        "content-length:2",
        "Content-Length:  2",
        "Content-Length: 0",
        "Content-Length: 1",
        "Content-Length: 3",
        "Content-Length: +2",
        "Content-Length : 2",
        "Content-Length: 2, 2",
        "Content-Lengths: 2",
        "Connection: keep-alive",
        "Connection: close",
        "connection: Keep-Alive",
        "Connection: keep-alive, close",
        "Connection:close",
        "Proxy-Connection: close",
        "Keep-Alive: timeout=5",
        "Transfer-Encoding: chunked",
        "transfer-encoding: identity",
        "Upgrade: x",
        " folded",
        "no colon",
        "a b: c",
        "(: c",
        ": c",
        "X: \x01",
        "X: \xff",
    ]
)
STARTS = st.sampled_from(
    [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 201 ",
        "HTTP/1.1 202",
        "HTTP/1.1 204 No",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 100 Go",
        "http/1.1 200 ok",
        "HTTP",
    ]
)
ENDS = st.sampled_from(["\r\n\r\n", "\r\n\r\nok", "\r\n\r\nok!", "\r\n", "", "\n\n", "\r\n\r\n0\r\n\r\n"])


def parsed(text: bytes) -> Response | None:
    """None unless it is whole, nothing is behind it, and the connection can be used again."""
    parser = _Parser()
    try:
        parser.feed(text)
    except HTTPParseError:
        return None
    if not parser.message_complete or parser.should_close():
        return None
    return Response(parser.get_code(), bytes(parser.start))


@given(start=STARTS, lines=st.lists(LINES, max_size=4), end=ENDS)
def test_what_is_plain_is_what_the_parser_says(start: str, lines: list[str], end: str) -> None:
    text = ("\r\n".join([start, *lines]) + end).encode("latin-1")
    assert _plain(text) in (None, parsed(text))


def test_most_responses_are_plain() -> None:
    text = (
        b"HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nDate: Fri, 27 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 2\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\nok"
    )
    assert _plain(text) == Response(200, b"ok")
    assert all(_plain(text[:at]) is None for at in range(len(text)))
    assert _plain(text + b"!") is None


@pytest.mark.parametrize("line", ["Proxy-Connection: close", "Connection: close", "Transfer-Encoding: chunked"])
def test_what_says_more_of_the_connection_or_the_body_is_not(line: str) -> None:
    assert _plain(f"HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 0\r\n\r\n".encode()) is None


def test_the_protocol_is_spelled_as_it_is() -> None:
    assert _plain(b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") is None
