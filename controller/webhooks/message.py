"""A webhook on the wire (Standard Webhooks): its id, and the exact bytes of its body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from controller.times import iso_ms


@dataclass(slots=True, eq=False)
class Webhook:
    """An entry of the outbox. `at`: epoch ms of the state change; `attempts`: made so far; `wait`: seconds until the
    next may be made, 0 for at once; `in_retry_queue`: it has left the outbox, and is sent out of order; `earlier`: how
    many of the attempts were made before the app asked for it to be sent again; `trace`: the traceparent of
    the request that caused it, empty if none is known.
    """

    entry: str
    app_id: str
    type: str
    ordering_key: str
    at: int
    data: bytes
    attempts: int = 0
    wait: float = 0.0
    in_retry_queue: bool = False
    earlier: int = 0
    trace: str = ""

    @classmethod
    def from_entry(cls, entry: str, fields: Mapping[bytes, bytes]) -> Webhook | None:
        """None for an entry that is no webhook."""
        try:
            app_id, type_, ordering_key = (fields[name].decode() for name in (b"app", b"type", b"lane"))
            at, trace = int(fields[b"at"]), fields.get(b"trace", b"").decode()
            return cls(entry, app_id, type_, ordering_key, at, fields[b"data"], trace=trace)
        except (KeyError, ValueError):
            return None

    @property
    def waits_for(self) -> str:
        """Webhooks with the same value are sent one after the other: the ordering key, or a value of its own."""
        return self.entry if self.in_retry_queue else self.ordering_key

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes, about."""
        return len(self.data) + 700

    @property
    def body(self) -> bytes:
        """The same bytes at every attempt."""
        return envelope(self.type, self.at, self.data)


def envelope(type_: str, at: int, data: bytes, **more: Any) -> bytes:
    """The body of a webhook, and of an event in a stream. `at`: epoch ms; `data`: JSON."""
    return orjson.dumps({"type": type_, "timestamp": iso_ms(at), "data": orjson.Fragment(data), **more})
