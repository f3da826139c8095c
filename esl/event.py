"""A FreeSWITCH event, read in place from the bytes that came.

The wire form (`switch_event_serialize`): one `Name: value` a line, values percent-encoded, a blank line, and
the body, if any, as it is. Lines are found first and a value is decoded after, so what a caller puts into a
SIP header stays inside its value.
"""

from typing import final, overload
from urllib.parse import unquote_to_bytes


@final
class Event:
    """One event. Nothing is parsed until asked for: a controller reads six headers of about eighty.

    Decoding is not always the inverse of what FreeSWITCH did: it leaves a `%XX` that a value already held, so
    a URL with `%20` inside reads back with a space. It writes an empty value as `_undef_`.
    """

    __slots__ = ("_clear", "_data", "content_type")

    def __init__(self, data: bytes, content_type: str = "text/event-plain") -> None:
        """`data`: the event's own header lines, a blank line, its body. Any bytes are taken; none raise."""
        self._data = b"\n" + data  # so that the first header is found like every other
        self.content_type = content_type
        self._clear = 0  # no blank line begins before this offset: up to here, all is header lines

    @classmethod
    def on_wire(cls, data: bytes) -> "Event":
        """A text/event-plain event from its bytes and the one line break before them, which saves a copy."""
        event = cls.__new__(cls)
        event._data = data
        event.content_type = "text/event-plain"
        event._clear = 0
        return event

    @overload
    def get(self, name: str) -> str | None: ...

    @overload
    def get(self, name: str, default: str) -> str: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """The decoded value of the first header of exactly that name, or `default`. Bad UTF-8 is replaced."""
        data = self._data
        needle = _NEEDLES[name]
        if needle is _NO_NAME:
            return default
        at = data.find(needle, 0, _FRONT)
        if at < 0:
            at = data.rfind(needle)  # a third of the time of find, and most names asked for are absent
            if at < 0:
                return default
            while (earlier := data.rfind(needle, 0, at)) >= 0:
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
        return _decode(value) if "%" in text else text  # most values hold nothing encoded

    def _end(self) -> int:
        """Where the header part ends: the offset of its last line break."""
        end = self._data.find(b"\n\n", self._clear)
        return end if end >= 0 else len(self._data)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    @property
    def name(self) -> str:
        """`Event-Name`: CHANNEL_PARK, CUSTOM, ...; empty if the event has none."""
        return self.get("Event-Name", "")

    @property
    def subclass(self) -> str:
        """`Event-Subclass` of a CUSTOM event: conference::maintenance, ...; else empty."""
        return self.get("Event-Subclass", "")

    @property
    def is_job_result(self) -> bool:
        """Whether it is a BACKGROUND_JOB. Asked of every event, so only its first header is looked at, which is its
        name, unless it has a subclass (`switch_event_create_subclass`).
        """
        return self._data.startswith(b"\nEvent-Name: BACKGROUND_JOB\n")

    @property
    def body(self) -> str:
        """What follows the blank line, bad UTF-8 replaced: a job's result text. Empty if there is none."""
        rest = self._data[self._end() + 2 :]
        if not rest:
            return ""
        length = self.get("Content-Length", "")
        if length.isdecimal() and length.isascii() and len(length) < 10:
            rest = rest[: int(length)]
        return rest.decode("utf-8", "replace")

    @property
    def raw(self) -> bytes:
        """The bytes that it was made from."""
        return self._data[1:]

    def headers(self) -> dict[str, str]:
        """All headers, decoded, the first of each name: for logs and debugging."""
        found: dict[str, str] = {}
        for line in self._data[1 : self._end()].split(b"\n"):
            name, separator, value = line.partition(b": ")
            if separator:
                found.setdefault(name.decode("utf-8", "replace"), _decode(value))
        return found

    def __repr__(self) -> str:
        return f"<Event {self.name} {self.subclass}>"


_NO_NAME = b""
_FRONT = 100
"""Bytes in which `Event-Name` ends, the header that is asked of every event."""


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


def _decode(value: bytes) -> str:
    return unquote_to_bytes(value).decode("utf-8", "replace")
