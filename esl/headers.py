"""The headers of an event, found in its bytes when they are asked for.

`Headers` is what a node's every event goes through: the class here, or the same in C (`_fast.c`), which is built where
there is a compiler. Tests hold the two to each other.
"""

import os
import re
from contextlib import suppress
from typing import Any, overload
from urllib.parse import unquote_to_bytes


class Headers:
    """Header lines, then perhaps a blank line and a body. Any bytes are taken."""

    __slots__ = ("_clear", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = b"\n" + data  # so that the first header is found like every other
        self._clear = 0  # no blank line begins before this offset: up to here, all is header lines

    @classmethod
    def take(cls, buffer: bytes | bytearray, start: int, found: list[Any]) -> int:
        """Add the events that stand whole at `start`, one behind the other, to `found`. Returns where they end.

        Only those with the usual head: it saves time, and the parser would find the same without.
        """
        size = len(buffer)
        with memoryview(buffer) as view:
            while head := _HEAD.match(buffer, start):
                body = head.end()
                end = body + int(head[1])
                if end > size:
                    break
                event = cls.__new__(cls)
                event._data = bytes(view[body - 1 : end])  # with the line break ahead
                event._clear = 0
                found.append(event)
                start = end
        return start

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, default: str, /) -> str: ...

    def get(self, name: str, default: str | None = None, /) -> str | None:
        """The decoded value of the first header of exactly that name, or `default`. Bad UTF-8 is replaced."""
        data = self._data
        needle = _NEEDLES[name]
        if needle is _NO_NAME:
            return default
        at = data.find(needle, 0, _FRONT)
        if at < 0:
            # Half the time of find, where it has far to go, and most names that are not in front are absent.
            rest = max(0, _FRONT - len(needle))
            at = data.rfind(needle, rest)
            if at < 0:
                return default
            while (earlier := data.rfind(needle, rest, at)) >= 0:
                at = earlier
        if at > self._clear:
            # Checked no further than needed: most lookups end far ahead of the blank line.
            if data.rfind(b"\n\n", self._clear, at + 1) >= 0:
                return default
            self._clear = at
        at += len(needle)
        stop = data.find(b"\n", at)
        value = data[at:stop] if stop >= 0 else data[at:]
        text = value.decode("utf-8", "replace")
        return decode(value) if "%" in text else text  # most values hold nothing encoded


_HEAD = re.compile(rb"Content-Length: ([0-9]{1,7})\nContent-Type: text/event-plain\n\n")
_NO_NAME = b""
_FRONT = 1250
"""Bytes in which most of the headers that are asked for end."""


class _Needles(dict[str, bytes]):
    """What to search for, by name: made once each, as the names that a program asks for are few."""

    def __missing__(self, name: str) -> bytes:
        if "\n" in name or ": " in name:
            return _NO_NAME  # no header can be called that
        if len(self) >= 1024:
            self.clear()
        needle = self[name] = b"\n%b: " % name.encode("utf-8", "surrogatepass")
        return needle


_NEEDLES = _Needles()


def decode(value: bytes) -> str:
    """The text of an encoded value. A `%` that begins no `%XX` stays, bad UTF-8 is replaced."""
    return unquote_to_bytes(value).decode("utf-8", "replace")


if not os.environ.get("ESL_PURE_PYTHON"):
    with suppress(ImportError):
        from esl._fast import Headers  # type: ignore[import-not-found, no-redef]  # noqa: F401
