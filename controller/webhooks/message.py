"""A webhook on the wire (Standard Webhooks): its id, and the exact bytes of its body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson


@dataclass(slots=True, eq=False)
class Webhook:
    """An entry of the outbox. `at`: ms of the state change; `attempts`: made so far; `wait`: seconds until it
    may be tried again, 0 when it may at once; `alone`: it has stepped aside and belongs to no lane any more;
    `earlier`: how many of the attempts were made before it was asked to be sent again.
    """

    entry: str
    app: str
    type: str
    lane: str
    at: int
    data: bytes
    attempts: int = 0
    wait: float = 0.0
    alone: bool = False
    earlier: int = 0

    @property
    def place(self) -> str:
        """What it queues in: its lane, or one of its own."""
        return self.entry if self.alone else self.lane

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes, about."""
        return len(self.data) + 700

    @property
    def body(self) -> bytes:
        """The same bytes at every attempt."""
        at = datetime.fromtimestamp(self.at // 1000, UTC)
        stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{self.at % 1000:03d}Z"
        return orjson.dumps({"type": self.type, "timestamp": stamp, "data": orjson.Fragment(self.data)})


def webhook_id(tag: str, entry: str) -> str:
    """`msg_p07-1795374235886-0`, from the partition and the entry: the same at every attempt."""
    return f"msg_{tag.strip('{}')}-{entry}"


_ID = re.compile(r"msg_(p[0-9]{2})-([0-9]{1,15}-[0-9]{1,15})", re.ASCII)


def parse_webhook_id(message_id: str) -> tuple[str, str] | None:
    """-> the partition's tag and the entry; None for a text that `webhook_id` cannot have made."""
    found = _ID.fullmatch(message_id)
    return (f"{{{found[1]}}}", found[2]) if found else None
