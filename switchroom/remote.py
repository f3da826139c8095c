"""A Switchroom that runs elsewhere, over its public API, for the commands that a developer runs on his own machine."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from controller.outbound.network import USER_AGENT, tls_context
from controller.outbound.target import parse_url

API = "/api/v1"
REQUEST_SECONDS = 30.0  # longer than any answer takes
QUIET_SECONDS = 40.0  # after which a stream counts as lost: the server says something every 15 s
MAX_LINE = 8 << 20


class Unreachable(Exception):
    """There was no response, or it broke off. Trying again may help."""


class Denied(Exception):
    """The API refused. `retry_after`: seconds, if it says when to try again."""

    def __init__(self, status: int, text: str, retry_after: float | None) -> None:
        super().__init__(f"{text} ({status})")
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """`data` is empty when it only says where the stream is: then it is no event."""

    id: str
    name: str
    data: bytes


class Remote:
    """Asks on behalf of an app. `url`: where the service is. Raises ValueError for one that cannot be used."""

    def __init__(self, url: str, app_id: str, api_key: str) -> None:
        self._target = parse_url(url)
        self._headers = {"X-App-ID": app_id, "X-API-Key": api_key, "User-Agent": USER_AGENT}
        self._base = self._target.path.rstrip("/") + API

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the body of a success. Raises Denied, Unreachable."""
        headers = {**self._headers, "Content-Type": "application/json"}
        with closing(self._connection(REQUEST_SECONDS)) as connection:
            response = _ask(connection, "POST", self._base + path, json.dumps(body), headers)
            found: dict[str, Any] = json.loads(response.read())
            return found

    def events(self, last_event_id: str = "", **query: str) -> Iterator[ServerEvent]:
        """One stream of events, until it breaks off or ends. Raises Denied, Unreachable."""
        headers = {**self._headers, "Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        path = f"{self._base}/events?{urlencode({name: value for name, value in query.items() if value})}"
        with closing(self._connection(QUIET_SECONDS)) as connection:
            response = _ask(connection, "GET", path, None, headers)
            try:
                yield from parse(iter(lambda: response.readline(MAX_LINE), b""))
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(_words(error)) from None

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        host, port = self._target.host, self._target.port
        if self._target.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=tls_context())
        return http.client.HTTPConnection(host, port, timeout=timeout)


def parse(lines: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Server-sent events, each with the last id that was given by then. One that breaks off is none."""
    last_id, name, data = "", "", []
    for line in lines:
        if not line.endswith(b"\n"):
            return
        field, _, value = line.rstrip(b"\r\n").partition(b":")
        value = value.removeprefix(b" ")
        match field:
            case b"id":
                last_id = value.decode()
            case b"event":
                name = value.decode()
            case b"data":
                data.append(value)
            case b"" if line in (b"\n", b"\r\n"):
                yield ServerEvent(last_id, name, b"\n".join(data))
                name, data = "", []


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]
) -> http.client.HTTPResponse:
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        if response.status < 300:
            return response
        text = response.read(65536)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(_words(error)) from None
    raise _denied(response, text)


def _denied(response: http.client.HTTPResponse, text: bytes) -> Denied:
    after = response.headers.get("Retry-After", "")
    try:
        said = str(json.loads(text)["error"])
    except (ValueError, TypeError, KeyError):
        said = f"it is no Switchroom that answers: {response.reason}"
    return Denied(response.status, said, float(after) if after.isdecimal() else None)


def _words(error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return "the connection was refused"
        case TimeoutError():
            return "nothing comes any more"
        case socket.gaierror():
            return "its name does not resolve"
        case http.client.HTTPException() | ConnectionError():
            return "the connection was lost"
    return str(error)
