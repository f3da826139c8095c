"""A node's worker whose link is in the hands of the test, with a node behind it that is made of answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, cast

import gevent

from controller.ids import SessionIds
from controller.media.client import Direct, Preparer
from controller.nodes.audit import Intervals
from controller.nodes.lease import NodeLease
from controller.nodes.node_worker import NodeWorker
from controller.registry import Node, Registry
from controller.store import keys
from controller.store.lease import Lease
from esl.connection import Connection
from esl.event import Event
from esl.link import Link
from tests.integration.world import NODE, SESSION_KEY
from tests.open_store import OpenStore

VALID_SECONDS = 60.0


class Wire:
    """In the place of a connection to a node, by default with nothing on it. `rows` are its calls, `members` its rooms."""

    def __init__(self, *rows: dict[str, str], members: list[dict[str, Any]] | None = None) -> None:
        # Both in their order: commands whose results come later, and those that are answered at once.
        self.sent: list[Any] = []
        self.asked: list[Any] = []
        self.closed = False
        self.answers = {
            "CoreUuid": "c0ffee",
            "JsonList": json.dumps(members or []),
            "ShowChannels": json.dumps({"row_count": len(rows), "rows": rows} if rows else {"row_count": 0}),
            "ChannelExists": "true" if rows else "false",
        }

    def bgapi(self, command: Any, *, job_uuid: str = "") -> None:
        command.render()
        self.sent.append(command)

    def api(self, command: Any) -> str:
        command.render()
        self.asked.append(command)
        return self.answers.get(type(command).__name__, "-ERR")

    def close(self) -> None:
        self.closed = True


class FakeLink:
    """In the place of an `esl.link.Link`."""

    def __init__(
        self,
        *,
        on_up: Callable[[Connection], None],
        on_events: Callable[[list[Event]], None],
        on_down: Callable[[str], None],
        **_: Any,
    ) -> None:
        self.connection: Wire | None = None
        self.on_events = on_events
        self._on_up = on_up
        self._on_down = on_down

    def up(self, wire: Wire) -> None:
        self.connection = wire
        self._on_up(cast(Connection, wire))

    def stop(self) -> None:
        self.connection = None

    def down(self) -> None:
        self.connection = None
        self._on_down("test")


class DrivenNode:
    """The worker of a node, its link, and its lease, which a test may let lapse."""

    def __init__(self, store: OpenStore, token: int = 1, relays: Preparer | None = None) -> None:
        node = Node(prefix=NODE, esl="127.0.0.1:9", password="x")
        # A lease that is taken later has the token that this one has.
        store.client.set(keys.key(keys.node_tag(NODE), "token"), 0, nx=True)
        self._lease = Lease(token, VALID_SECONDS, time.monotonic())
        self.worker = NodeWorker(
            node,
            NodeLease(store, NODE, "owner", self._lease),
            store,
            Registry(store),
            SessionIds(NODE, SESSION_KEY),
            intervals=Intervals(soon=0.01),
            relays=relays or Direct(),
            connect=self._connect,
        )
        self.audit = self.worker.audit

    def _connect(self, **given: Any) -> Link:
        self.link = FakeLink(**given)
        return cast(Link, self.link)

    def up(self, *rows: dict[str, str], members: list[dict[str, Any]] | None = None) -> Wire:
        """Have the link come up, with a node like this behind it."""
        wire = Wire(*rows, members=members)
        self.link.up(wire)
        return wire

    def happened(self, *events: Event) -> None:
        self.link.on_events(list(events))

    def tick(self) -> None:
        """What comes every second or so."""
        self.worker.renew()
        self.worker.sweep({})

    def let_lease_lapse(self) -> None:
        self._lease.renewed(time.monotonic() - VALID_SECONDS)

    def renew_lease(self) -> None:
        self._lease.renewed(time.monotonic())


def settle(store: OpenStore) -> None:
    """Let what has become possible happen: greenlets that wait for nothing else but the store."""
    quiet = 0
    while quiet < 20:
        gevent.sleep(0.002)
        quiet = 0 if store.is_asked else quiet + 1


def event(name: str, channel: str, **headers: str) -> Event:
    """Of an inbound call. Underscores in the names of headers stand for hyphens."""
    lines = {"Event-Name": name, "Unique-ID": channel, "Call-Direction": "inbound", "Caller-Network-Addr": "192.0.2.7"}
    lines |= {header.replace("_", "-"): value for header, value in headers.items()}
    return Event("".join(f"{header}: {value}\n" for header, value in lines.items()).encode())
