"""A FreeSWITCH event, read in place from the bytes that came.

The wire form (`switch_event_serialize`): one `Name: value` a line, values percent-encoded, a blank line, and
the body, if any, as it is. Lines are found first and a value is decoded after, so what a caller puts into a
SIP header stays inside its value.
"""

from typing import final

from esl.headers import Headers, decode


@final
class Event(Headers):
    """One event. Nothing is parsed until asked for: a controller reads six headers of about eighty.

    Decoding is not always the inverse of what FreeSWITCH did: it leaves a `%XX` that a value already held, so
    a URL with `%20` inside reads back with a space. It writes an empty value as `_undef_`.
    """

    __slots__ = ()

    def _end(self) -> int:
        """Where the header part ends: the offset of its last line break."""
        end = self._data.find(b"\n\n")
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
                found.setdefault(name.decode("utf-8", "replace"), decode(value))
        return found

    def __repr__(self) -> str:
        return f"<Event {self.name} {self.subclass}>"
