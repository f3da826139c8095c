"""Server-sent events: what the service sends over a response without end, as events.

The form is that of the HTML standard: lines `name: value`, a blank line ends an event. An `id` alone is no event, but
the place to go on from after a lost connection.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import from_json

from switchroom.client.models import Model
from switchroom.client.webhooks import DATA, Data

RETRY_SECONDS = 2.0
MAX_EVENT = 1 << 24  # characters. A webhook's data may be of a few million.

_MS = re.compile("[0-9]{1,5}").fullmatch
# An id is sent back in a header, and that of a webhook passed on in one.
_ID = "[!-~]{0,1024}"
_is_id = re.compile(_ID).fullmatch


@dataclass(frozen=True, slots=True)
class Event:
    """`type`: of a webhook, `log.` and the kind of another line of the event log, or `stream.gap`: some may be missing
    before this one. `data`: typed for webhooks, plain for the others. `id`: to go on behind it. `webhook_id`: of a
    webhook, the same as when it comes by HTTP. `body`: the JSON as it came.
    """

    id: str
    type: str
    timestamp: datetime | None
    data: Data | dict[str, Any]
    webhook_id: str | None
    body: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


class _Body(Model):
    """What the data of every event is."""

    timestamp: datetime | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    webhook_id: Annotated[str, Field(pattern=f"^{_ID}$")] | None = None


@dataclass
class Reader:
    """Reads a stream. `last_id`: where to go on. `retry`: seconds after which to come back, as the service says."""

    last_id: str = ""
    retry: float = RETRY_SECONDS
    _id: str = ""
    _name: str = ""
    _data: list[str] = field(default_factory=list)
    _size: int = 0

    def events(self, chunks: Iterable[bytes]) -> Iterator[Event]:
        """What a connection gives, until it ends. An event that is cut off is none. Raises ValueError for what is no
        event of the service.
        """
        self._id, self._name, self._data, self._size = self.last_id, "", [], 0
        line: list[str] = []  # the parts of one that is not whole yet
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for chunk in chunks:
            for number, part in enumerate(decoder.decode(chunk).split("\n")):
                if number:
                    whole = "".join(line).removesuffix("\r")
                    line.clear()
                    if event := self._take(whole):
                        yield event
                line.append(part)
                self._size += len(part)
                if self._size > MAX_EVENT:
                    raise ValueError("an event is too long")

    def _take(self, line: str) -> Event | None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            return self._end()
        if name == "id":
            if not _is_id(value):
                raise ValueError("an event has an invalid id")
            self._id = value
        elif name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "retry" and _MS(value):
            self.retry = int(value) / 1000
        return None

    def _end(self) -> Event | None:
        # Not before: of an event that is cut off only the id may have come.
        self.last_id = self._id
        name, data = self._name, self._data
        self._name, self._data, self._size = "", [], 0
        if not data:
            return None
        body = from_json("\n".join(data))
        read, model = _Body.model_validate(body), DATA.get(name)
        return Event(
            id=self.last_id,
            type=name,
            timestamp=read.timestamp,
            data=model.model_validate(read.data) if model else read.data,
            webhook_id=read.webhook_id,
            body=body,
        )
