"""Cuts the byte stream of an Event Socket into frames. No I/O: bytes in, frames out.

A frame is header lines, a blank line, and a body of `Content-Length` bytes, or no body without that header.
Source: `mod_event_socket.c` of FreeSWITCH, and the recorded traces.
"""

import re

from esl.errors import ProtocolError
from esl.event import Event

MAX_HEAD = 64 * 1024
"""Bytes of header lines in a frame. FreeSWITCH itself builds them in buffers of 512 to 1024 bytes."""

MAX_BODY = 64 * 1024 * 1024
"""Bytes in a body. The largest that a node sends is a listing: 136 kB for each 200 members."""

_EVENT = "text/event-plain"

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_MAX_END_LENGTH = 3
_LINE_BREAKS = b"\r\n"


class Frame:
    """One frame that is no event: its `content_type`, its `body` as sent, and its header lines behind `get`."""

    __slots__ = ("_head", "body", "content_type")

    def __init__(self, content_type: str, head: bytes, body: bytes) -> None:
        self.content_type = content_type
        self._head = head
        self.body = body

    def get(self, name: str, default: str = "") -> str:
        """The first header of that name. Unlike an event's, these values are not percent-encoded."""
        searched = name.encode()
        for line in self._head.split(b"\n"):
            key, colon, value = line.partition(b":")
            if colon and key == searched:
                return value.strip().decode("utf-8", "replace")
        return default

    @property
    def text(self) -> str:
        """The `Reply-Text` of a command/reply: `+OK ...` or `-ERR ...`."""
        return self.get("Reply-Text")

    def __repr__(self) -> str:
        return f"Frame({self.content_type!r}, head={self._head!r}, body={len(self.body)} bytes)"


class FrameParser:
    """Incremental: feed it whatever the socket gave, get the frames that are now whole.

    Takes time linear in the bytes fed, however they are cut, and holds at most one unfinished frame besides
    the last chunk. After a ProtocolError it raises the same again: the stream has lost its place for good.
    """

    __slots__ = ("_buffer", "_error", "_needed", "_scanned")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # no head ends before this offset
        self._needed = 0  # bytes that the buffer must hold before a look at it can bring anything
        self._error: ProtocolError | None = None

    def feed(self, data: bytes) -> list[Frame | Event]:
        """The frames completed by `data`, those of text/event-plain as the events inside.

        Raises ProtocolError; frames ahead of the fault in `data` go with it.
        """
        if self._error is not None:
            raise self._error
        self._buffer += data
        if len(self._buffer) < self._needed:
            return []
        try:
            return self._cut()
        except ProtocolError as error:
            self._error = error
            self._buffer.clear()
            raise

    def _cut(self) -> list[Frame | Event]:
        buffer, size = self._buffer, len(self._buffer)
        frames: list[Frame | Event] = []
        start, scanned = 0, self._scanned
        self._needed = 0
        with memoryview(buffer) as view:
            while start < size:
                start = Event.take(buffer, start, frames)
                if start == size:
                    break
                if view[start] in _LINE_BREAKS:
                    start += 1  # between frames a blank line means nothing
                    continue
                end_of_head = _END_OF_HEAD.search(buffer, max(start, scanned))
                if (end_of_head.start() if end_of_head else size) - start > MAX_HEAD:
                    raise ProtocolError(f"a frame's header lines exceed {MAX_HEAD} bytes")
                if end_of_head is None:
                    scanned = max(start, size - _MAX_END_LENGTH + 1)
                    break
                head, body = bytes(view[start : end_of_head.start()]), end_of_head.end()
                content_type, length = _read_head(head)
                end = body + length
                if end > size:
                    self._needed = end - start
                    break
                if content_type == _EVENT:
                    frames.append(Event(bytes(view[body:end])))
                else:
                    frames.append(Frame(content_type, head, bytes(view[body:end])))
                start = end
        del buffer[:start]
        self._scanned = max(0, scanned - start)
        return frames


def _read_head(head: bytes) -> tuple[str, int]:
    """Content type and body length of a head, or ProtocolError."""
    content_type = length = None
    for line in head.split(b"\n"):
        name, colon, value = line.partition(b":")
        if not colon:
            raise ProtocolError("a header line without a colon")
        if name == b"Content-Length":
            if length is not None:
                raise ProtocolError("two Content-Length headers in one frame")
            length = _read_length(value.strip())
        elif name == b"Content-Type":
            content_type = value.strip().decode("utf-8", "replace")
    if content_type is None:
        raise ProtocolError("a frame without a Content-Type")
    return content_type, length or 0


def _read_length(digits: bytes) -> int:
    # int() alone would take "-1", "+1", "1_0" and any number of digits.
    if not digits.isdigit() or len(digits) > len(str(MAX_BODY)):
        raise ProtocolError(f"Content-Length is not a number of bytes up to {MAX_BODY}")
    length = int(digits)
    if length > MAX_BODY:
        raise ProtocolError(f"a body of {length} bytes exceeds {MAX_BODY}")
    return length
