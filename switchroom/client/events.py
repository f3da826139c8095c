"""Server-sent events: what the service sends over a response without end, as events.

The form is that of the HTML standard: lines `name: value`, a blank line ends an event. An `id` alone is no event, but
the place to go on from after a lost connection.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from switchroom.client.webhooks import DATA, Data

RETRY_SECONDS = 2.0


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


@dataclass
class Reader:
    """Reads a stream. `last_id`: where to go on. `retry`: seconds after which to come back, as the service says."""

    last_id: str = ""
    retry: float = RETRY_SECONDS
    _id: str = ""
    _name: str = ""
    _data: list[str] = field(default_factory=list)

    def events(self, chunks: Iterable[bytes]) -> Iterator[Event]:
        """What a connection gives, until it ends. An event that is cut off is none."""
        self._id, self._name, self._data, text = self.last_id, "", [], ""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for chunk in chunks:
            *lines, text = (text + decoder.decode(chunk)).split("\n")
            for line in lines:
                if event := self._take(line.removesuffix("\r")):
                    yield event

    def _take(self, line: str) -> Event | None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            return self._end()
        if name == "id":
            self._id = value
        elif name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "retry" and value.isdecimal():
            self.retry = int(value) / 1000
        return None

    def _end(self) -> Event | None:
        # Not before: of an event that is cut off only the id may have come.
        self.last_id = self._id
        name, data = self._name, self._data
        self._name, self._data = "", []
        if not data:
            return None
        body = json.loads("\n".join(data))
        at, fields, model = body.get("timestamp"), body.get("data", {}), DATA.get(name)
        return Event(
            id=self.last_id,
            type=name,
            timestamp=datetime.fromisoformat(at) if at else None,
            data=model.model_validate(fields) if model else fields,
            webhook_id=body.get("webhook_id"),
            body=body,
        )
