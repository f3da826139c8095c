"""What operators see of all apps and nodes at once. Reads only, each bounded, whatever there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple, TypedDict

import gevent

from controller.commands import ListRooms, ListSessions, Session
from controller.commands.base import Execute, Listing
from controller.commands.rooms import RoomEntry
from controller.errors import Refused
from controller.event_log import Entry, parsed
from controller.ids import event_id, parse_event_id
from controller.live import as_app_sees
from controller.nodes.history import NodeHistory, Note
from controller.registry import Node, Registry
from controller.rooms.placement import Placement
from controller.statistics import Totals
from controller.store import keys
from controller.store.store import Store, WebhookCounts
from controller.turns import Turns
from controller.webhooks.endpoint import Endpoint, EndpointStatus, matches

# For how long counts are used again, so that many who look cost no more than one.
FRESH_SECONDS = 2.0
# Steps of listings for one page: a narrowed one may end short.
MAX_LISTINGS = 20
# Entries of the event log that are looked at for one page, and how many are read of a partition at a time.
MAX_SCANNED = 5000
LOG_PART = 200
# Seconds that a request may wait for those that look through the log before it.
MAX_WAIT = 3.0


class NodeState(TypedDict):
    """`state`: `up`, `drained` or `down`; a node that is down may be `drained`, too. `worker`: who holds it, or ""."""

    prefix: str
    state: str
    drained: bool
    region: str
    weight: int
    capacity: int
    calls: int
    rooms: int
    worker: str


class EndpointState(TypedDict):
    """An app's webhook endpoint. `state`: one of EndpointStatus, and `since` (epoch ms) when it is so. `pending_bytes`:
    of webhooks that are not delivered yet.
    """

    app_id: str
    url: str
    state: str
    since: int | None
    reason: str
    pending_bytes: int
    retrying: int
    failed: int


class Summary(TypedDict):
    nodes: list[NodeState]
    totals: dict[str, int]
    webhooks: dict[str, int]


class Place(NamedTuple):
    """Where a listing over all apps goes on: behind a position of an app's own listing; 0 is before its first."""

    app_id: str = ""
    position: int = 0


class LogPlace(NamedTuple):
    """A place in the event log: time (ms), number within it, partition. Entries of all partitions are in this order."""

    at: int
    number: int
    tag: str


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What entries must be about; empty for all. `type`: a type, or a beginning of some, `conference.play.*`."""

    app: str = ""
    room: str = ""
    session: str = ""
    kind: str = ""
    type: str = ""

    def passes(self, entry: Entry) -> bool:
        exact = (("app", self.app), ("room", self.room), ("session", self.session), ("kind", self.kind))
        is_about = all(not wanted or entry.get(name) == wanted for name, wanted in exact)
        return is_about and (not self.type or matches(self.type, str(entry.get("type"))))


_Counts = tuple[Totals, list[EndpointState]]


class Overview:
    """Every method may raise StoreUnavailable. `execute`: carries out the listing of one app."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        placement: Placement,
        execute: Execute,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._registry = registry
        self._placement = placement
        self._execute = execute
        self._clock = clock
        self._counted: tuple[float, _Counts] | None = None
        self._scans = Turns(total=1, per_app=1)

    def app_ids(self) -> list[str]:
        return sorted(app.id for app in self._registry.apps())

    def has_app(self, app_id: str) -> bool:
        return self._registry.app(app_id) is not None

    def summary(self) -> Summary:
        counts, endpoints = self._counts()
        failing = (EndpointStatus.FAILING, EndpointStatus.DISABLED)
        return {
            "nodes": self.nodes(),
            "totals": {
                "apps": len(self._registry.apps()),
                "rooms": counts.all_rooms,
                "members": counts.members,
                "sessions": counts.sessions.total(),
            },
            "webhooks": {
                "pending": counts.pending,
                "retrying": sum(endpoint["retrying"] for endpoint in endpoints),
                "failed": sum(endpoint["failed"] for endpoint in endpoints),
                "failing_endpoints": sum(endpoint["state"] in failing for endpoint in endpoints),
            },
        }

    # Nodes

    def nodes(self) -> list[NodeState]:
        counts, _ = self._counts()
        nodes = sorted(self._registry.nodes(), key=lambda node: node.prefix)
        holders = self._store.holders([node.prefix for node in nodes])
        return [self._node(node, counts, holders.get(node.prefix, "")) for node in nodes]

    def node(self, prefix: str) -> NodeState:
        """Raises Refused `node_not_found`."""
        found = next((node for node in self.nodes() if node["prefix"] == prefix), None)
        if found is None:
            raise Refused("node_not_found")
        return found

    def history(self, prefix: str) -> list[Note]:
        """When the link to a node came up or went down, and what comparisons have put right, the newest first."""
        return NodeHistory(self._store, prefix).read()

    def drain(self, prefix: str, drained: bool) -> None:
        """Whether the node gets no new rooms. Raises Refused `node_not_found`."""
        if not self._registry.drain(prefix, drained):
            raise Refused("node_not_found")

    def _node(self, node: Node, counts: Totals, holder: str) -> NodeState:
        open_state = "drained" if node.drained else "up"
        return {
            "prefix": node.prefix,
            "state": open_state if self._placement.is_up(node.prefix) else "down",
            "drained": node.drained,
            "region": node.region,
            "weight": node.weight,
            "capacity": node.capacity,
            "calls": counts.sessions[node.prefix],
            "rooms": counts.rooms[node.prefix],
            "worker": holder,
        }

    # Webhooks

    def endpoints(self) -> list[EndpointState]:
        """By app id."""
        return self._counts()[1]

    # Rooms and sessions

    def rooms(
        self, after: Place, limit: int, *, app: str = "", name: str | None = None, tag: str | None = None
    ) -> tuple[list[Any], Place | None]:
        """Rows of `ListRooms` with their `app_id`, and where to go on, None at the end. A page may be short, and not be
        the last.
        """

        def listing(app_id: str, limit: int, after: int) -> Listing[RoomEntry]:
            return ListRooms(app_id=app_id, limit=limit, after=after, name=name, tag=tag)

        return self._across("rooms", listing, after, limit, app)

    def sessions(
        self, after: Place, limit: int, *, app: str = "", state: str | None = None
    ) -> tuple[list[Any], Place | None]:
        """Rows of `ListSessions`, else as `rooms`."""

        def listing(app_id: str, limit: int, after: int) -> Listing[Session]:
            return ListSessions(app_id=app_id, limit=limit, after=after, state=state)

        return self._across("sessions", listing, after, limit, app)

    def _across(
        self, kind: str, listing: Callable[[str, int, int], Listing[Any]], after: Place, limit: int, app: str
    ) -> tuple[list[Any], Place | None]:
        app_ids = [app_id for app_id in ([app] if app else self.app_ids()) if app_id >= after.app_id]
        having = [app_id for app_id, count in self._store.counts_of_apps(kind, app_ids).items() if count]
        rows: list[Any] = []
        position = after.position
        listed = 0
        for app_id in having:
            position = after.position if app_id == after.app_id else 0
            while len(rows) < limit and listed < MAX_LISTINGS:
                page = self._execute(listing(app_id, limit - len(rows), position))
                listed += 1
                rows += [{**row, "app_id": app_id} for row in page["rows"]]
                position = page["cursor"]
                if not position:
                    break
            else:
                return rows, Place(app_id, position)
        return rows, None

    # The event log

    def log(
        self, wanted: LogFilter, before: LogPlace | None, limit: int, *, as_app: bool = False
    ) -> tuple[list[Entry], str | None]:
        """Entries before a place, the newest first, each with its `id`; and the id to go on from, None at the end. A
        page may be short, and not be the last. `as_app`: without what is not for the app that is wanted.

        One looks at a time, and half of that time is for others: apps in turn, and operators as if they were one.
        Raises Refused `too_many_log_searches` when many wait.
        """
        late = Refused("too_many_log_searches")
        with self._scans.turn(wanted.app if as_app else "", MAX_WAIT, late):
            return self._scan(wanted, before, limit, as_app)

    def _scan(
        self, wanted: LogFilter, before: LogPlace | None, limit: int, as_app: bool
    ) -> tuple[list[Entry], str | None]:
        tags = [keys.partition_of(wanted.app)] if wanted.app else keys.TAGS
        newest_first = merge(*(self._newest_first(tag, before) for tag in tags), key=lambda each: each[0], reverse=True)
        entries: list[Entry] = []
        started = time.monotonic()
        for scanned, (place, entry) in enumerate(islice(newest_first, MAX_SCANNED), start=1):
            shown = as_app_sees(entry) if as_app else entry
            if shown and wanted.passes(entry):
                entries.append({"id": _log_id(place), **shown})
            if len(entries) == limit or scanned == MAX_SCANNED:
                return entries, _log_id(place)
            if scanned % LOG_PART == 0:
                gevent.sleep(time.monotonic() - started)
                started = time.monotonic()
        return entries, None

    def _newest_first(self, tag: str, before: LogPlace | None) -> Iterator[tuple[LogPlace, Entry]]:
        end = "+"
        if before:
            # Of entries with the same time and number those of later partitions come first, being newest.
            end = f"{'' if tag < before.tag else '('}{before.at}-{before.number}"
        stream = keys.key(tag, "log")
        while True:
            page = self._store.read_back(stream, end, count=LOG_PART)
            for position, fields in page:
                at, _, number = position.partition("-")
                for entry in parsed(fields):
                    yield LogPlace(int(at), int(number), tag), entry
            if len(page) < LOG_PART:
                return
            end = f"({page[-1][0]}"

    # Counting

    def _counts(self) -> _Counts:
        now = self._clock()
        if self._counted is None or now - self._counted[0] > FRESH_SECONDS:
            self._counted = now, self._count()
        return self._counted[1]

    def _count(self) -> _Counts:
        nodes = [node.prefix for node in self._registry.nodes()]
        return Totals.count(self._store, nodes), self._endpoints()

    def _endpoints(self) -> list[EndpointState]:
        apps = sorted(self._registry.apps(), key=lambda app: app.id)
        found = self._store.webhook_counts([app.id for app in apps])
        return [_endpoint(Endpoint(app, counts.endpoint), counts) for app, counts in zip(apps, found, strict=True)]


def _log_id(place: LogPlace) -> str:
    return event_id(place.tag, f"{place.at}-{place.number}")


def parse_log_id(text: str) -> LogPlace:
    """Raises ValueError for what is not the id of an entry."""
    tag, entry = parse_event_id(text)
    at, _, number = entry.partition("-")
    place = LogPlace(int(at), int(number), tag)
    if tag not in keys.TAGS or _log_id(place) != text:
        raise ValueError(text)
    return place


def _endpoint(endpoint: Endpoint, counts: WebhookCounts) -> EndpointState:
    settings = endpoint.describe(time.time())
    return {
        "app_id": endpoint.app.id,
        "url": settings["url"],
        "state": settings["status"],
        "since": settings["since"],
        "reason": settings["reason"],
        "pending_bytes": counts.pending_bytes,
        "retrying": counts.listed["retrying"],
        "failed": counts.listed["failed"],
    }
