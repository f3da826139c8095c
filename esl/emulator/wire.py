"""The Event Socket's bytes, seen from the server: commands read, replies and events written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

Headers = list[tuple[str, str]]

AUTH_REQUEST = b"Content-Type: auth/request\n\n"
DISCONNECT = (
    b"Content-Type: text/disconnect-notice\nContent-Length: 67\n\n"
    b"Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
)
MAX_COMMAND = 4 * 1024 * 1024  # bytes of one command; a client that sends more is cut off

# What the node escapes in a header's value: control characters, everything beyond ASCII, and these. A percent sign that
# already begins an escape stays as it is, so a caller's literal `%0A` reaches the client as `%0A` (trace 13).
_UNSAFE = re.compile(rb'%(?![0-9A-F]{2})|[^ -~]|[ #&+:;<=>?@\[\\\]^`{|}"]')


def encode(value: str) -> str:
    """A header's value as the node writes it."""
    raw = value.encode("utf-8", "surrogateescape")
    return _UNSAFE.sub(lambda found: b"%%%02X" % ord(found[0]), raw).decode("ascii")


def reply(text: str) -> bytes:
    return f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode("utf-8", "surrogateescape")


def job_reply(job_uuid: str) -> bytes:
    return reply(f"+OK Job-UUID: {job_uuid}\nJob-UUID: {job_uuid}")


def api_response(text: str) -> bytes:
    body = (text or "-ERR no reply\n").encode("utf-8", "surrogateescape")
    return b"Content-Type: api/response\nContent-Length: %d\n\n%s" % (len(body), body)


@dataclass
class Event:
    """One event: its headers in order, values as they are, not yet escaped; `body` is a job's result."""

    name: str
    headers: Headers
    body: str | None = None

    @cached_property
    def _first(self) -> dict[str, str]:
        return {name.lower(): value for name, value in reversed(self.headers)}

    def get(self, header: str) -> str | None:
        """The first header of that name, whatever its case."""
        return self._first.get(header.lower())

    @cached_property
    def frame(self) -> bytes:
        """The event as `event plain` sends it."""
        lines = [f"{name}: {encode(value)}\n" for name, value in self.headers]
        body = b""
        if self.body:
            body = self.body.encode("utf-8", "surrogateescape")
            lines.append(f"Content-Length: {len(body)}\n")
        text = "".join(lines).encode("ascii") + b"\n" + body
        return b"Content-Length: %d\nContent-Type: text/event-plain\n\n%s" % (len(text), text)


def time_headers(micros: int) -> Headers:
    """The three ways in which an event gives its time, from microseconds since the epoch."""
    moment = datetime.fromtimestamp(micros // 1_000_000, UTC)
    return [
        ("Event-Date-Local", f"{moment:%Y-%m-%d %H:%M:%S}"),
        ("Event-Date-GMT", f"{moment:%a, %d %b %Y %H:%M:%S} GMT"),
        ("Event-Date-Timestamp", str(micros)),
    ]


class CommandTooLong(Exception):
    """A client sent more than `MAX_COMMAND` bytes without ending its command."""


@dataclass
class Command:
    """One command: its line, and the headers and body that came below it."""

    line: str
    headers: Headers = field(default_factory=list)
    body: str = ""

    def get(self, header: str) -> str | None:
        """The first header of that name, whatever its case."""
        return next((value for name, value in self.headers if name.lower() == header.lower()), None)

    @property
    def verb(self) -> str:
        return self.line.split(" ", 1)[0].lower()

    @property
    def argument(self) -> str:
        return self.line.partition(" ")[2]


class CommandReader:
    """Cuts a client's bytes into commands: lines up to an empty one, then as much body as `Content-Length` says."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[Command]:
        self._data += data
        while command := self._next():
            yield command
        if len(self._data) > MAX_COMMAND:
            raise CommandTooLong

    def _next(self) -> Command | None:
        self._data = self._data.lstrip(b"\r\n")
        end = re.search(rb"\r?\n\r?\n", self._data)
        if end is None:
            return None
        text = self._data[: end.start()].decode("utf-8", "surrogateescape").replace("\r", "")
        line, *rest = text.split("\n")
        headers = [(name.strip(), value.strip()) for name, _, value in (row.partition(":") for row in rest)]
        command = Command(line, headers)
        size = max(0, atoi(command.get("content-length") or ""))
        if len(self._data) < end.end() + size:
            return None
        command.body = self._data[end.end() : end.end() + size].decode("utf-8", "surrogateescape")
        self._data = self._data[end.end() + size :]
        return command


def split(text: str, delimiter: str = " ") -> list[str]:
    """Split as the node does: `'...'` protects delimiters, a backslash the next character. A lone quote is a letter."""
    parts, part, quoted, at = [], "", False, 0
    last_quote = text.rfind("'")
    while at < len(text):
        letter = text[at]
        if letter == "\\" and at + 1 < len(text):
            at += 1
            part += text[at]
        elif letter == "'" and (quoted or at < last_quote):
            quoted = not quoted
        elif letter == delimiter and not quoted:
            parts.append(part)
            part = ""
        else:
            part += letter
        at += 1
    parts.append(part)
    if delimiter == " ":
        return [part for part in parts if part]
    return [part.strip(" ") for part in parts]


def split_params(text: str) -> tuple[dict[str, str], str]:
    """Cut `{a=1,b=2}rest` into its parameters and the rest. Without braces the parameters are empty."""
    if not text.startswith("{") or "}" not in text:
        return {}, text
    inside, _, rest = text[1:].partition("}")
    pairs = (pair.partition("=") for pair in split(inside, ",") if pair)
    return {name: value for name, _, value in pairs}, rest


def atoi(text: str) -> int:
    """A number as C's atoi reads it: what follows the digits is ignored, no digits are 0."""
    digits = re.match(r"\s*([+-]?[0-9]{1,18})", text)
    return int(digits[1]) if digits else 0
