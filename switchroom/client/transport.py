"""How requests get to the service: by urllib3, which keeps connections and is safe to use from several threads.

A transport carries one request; when one is made again is decided in `client`. The fake is a transport, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from switchroom.client.errors import NoResponse

MAX_BODY = 1 << 25  # bytes of a response


@dataclass(frozen=True, slots=True)
class Request:
    """`target`: the path with its query. `timeout`: seconds to connect, and again until the response has come."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Response:
    """`headers`: by their names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Stream:
    """A response whose body comes bit by bit. `chunks` raises NoResponse when the connection is lost."""

    response: Response
    chunks: Iterator[bytes]
    close: Callable[[], None]


class Transport(Protocol):
    def send(self, request: Request) -> Response:
        """Raises NoResponse."""

    def stream(self, request: Request) -> Stream:
        """Of an error the response has the body, and there are no chunks. `timeout` is that of each chunk, too. Raises
        NoResponse.
        """

    def close(self) -> None: ...


class HTTPTransport:
    """To the service at `url`, such as https://switchroom.example.com."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        # An error of one connection must not be tried again here, where nobody knows whether that is safe.
        self._pool = urllib3.PoolManager(retries=False, maxsize=10)

    def send(self, request: Request) -> Response:
        found = self._request(request)
        return Response(found.status, _headers(found), self._body(found))

    def stream(self, request: Request) -> Stream:
        found = self._request(request)
        body = self._body(found) if found.status >= 300 else b""
        return Stream(Response(found.status, _headers(found), body), self._chunks(found), found.close)

    def _request(self, request: Request) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                request.method,
                self._url + request.target,
                headers=dict(request.headers),
                body=request.body,
                timeout=request.timeout,
                preload_content=False,
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise NoResponse(f"{self._url} cannot be reached: {error}", sent=False) from error
        except HTTPError as error:
            raise NoResponse(f"{self._url} did not respond: {error}", sent=True) from error

    def _body(self, found: urllib3.BaseHTTPResponse) -> bytes:
        try:
            body: bytes = found.read(MAX_BODY + 1)
        except HTTPError as error:
            raise NoResponse(f"{self._url} did not respond: {error}", sent=True) from error
        if len(body) > MAX_BODY:
            found.close()
            raise NoResponse(f"{self._url} responds with more than {MAX_BODY} bytes", sent=True)
        return body

    def _chunks(self, found: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            yield from found.stream()
        except HTTPError as error:
            raise NoResponse(f"the stream of {self._url} was lost: {error}", sent=True) from error

    def close(self) -> None:
        self._pool.clear()


def _headers(found: urllib3.BaseHTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in found.headers.items()}
