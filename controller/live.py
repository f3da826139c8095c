"""Streams of events: what the event log gains, for all who watch, while it happens.

How it works. Every webhook and every other line about an app goes to the event log of the app's partition, in one
order, and the id of an event is its position there. One `Feed` a process follows the logs of all partitions, from when
somebody watches until nobody does, and hands each event to the streams of its app; operators watch all apps.

A stream that resumes first reads the log by itself, from the event that it names to the end, a page at a time. Then the
feed takes it on, and says what it has handed out by then. What of that the stream has not read, it reads now; what it
has read already, it drops when the feed hands it out. So nothing is left out, and nothing comes twice.

Nobody waits for a slow reader. What a stream has yet to give to its reader waits in a queue of its own. When that is
full, the stream is cut off: the reader comes back with the id of the last event that it got.

The log is trimmed from its oldest entry. If an entry is gone from which a stream or the feed goes on, some behind it
may be gone too. Then the stream gets a `stream.gap`, and goes on with what is there.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gevent
import orjson
import structlog
from gevent.event import Event as Flag
from gevent.lock import BoundedSemaphore

from controller import metrics
from controller.errors import Refused, StoreUnavailable
from controller.event_log import Entry, parsed, time_of
from controller.ids import event_id, parse_event_id
from controller.registry import Registry
from controller.store import keys
from controller.store.store import Fields, Store
from controller.times import iso_ms
from controller.turns import Turns
from controller.webhooks.endpoint import matches
from controller.webhooks.message import envelope

log = structlog.get_logger(__name__)

PAGE = 500  # entries read at a time
WAIT_SECONDS = 4.0  # that the feed's reads wait for entries; less than the reader's timeout
RETRY_SECONDS = 0.5
IDLE_SECONDS = 15.0  # without an event, after which a stream says where it is
# What may wait for one reader. One event always may, however large.
MAX_WAITING = 1000
MAX_WAITING_BYTES = 1 << 20
MAX_OF_OPERATORS = 100  # streams that all operators together have open, so that apps can have some

GAP = "stream.gap"
WEBHOOK = "webhook"
# What an app is shown of the event log: of these kinds, these fields by their names in the API. What nodes are sent and
# say is the operator's.
KINDS_OF_APP = frozenset((WEBHOOK, "command", "refused", "state", "delivery"))
_NAMES = {"app": "app_id", "room": "room_id", "session": "uuid", "operation": "operation_id", "webhook": "webhook_id"}
_SHOWN = (
    "type name did command_uid actor trace answer reason detail volume webhooks node source index count outcome attempt"
    " status latency_ms error next_at to caller_id"
)
_FIELDS_OF_APP = frozenset((*_SHOWN.split(), *_NAMES))


@dataclass(frozen=True, slots=True)
class Notice:
    """What a stream is told that stands in no log, and so has no id."""

    name: str
    data: Mapping[str, Any]

    size = 500

    @property
    def body(self) -> bytes:
        return envelope(self.name, round(time.time() * 1000), orjson.dumps(self.data))

    body_for_operators = body


class LiveEvent:
    """An entry of the event log. `data`: of a webhook."""

    def __init__(self, tag: str, position: str, entry: Entry, data: bytes = b"") -> None:
        self.tag = tag
        self.position = position
        self.entry = entry
        self.data = data
        self.app_id: str = entry.get("app") or ""
        self.kind: str = entry.get("kind") or ""
        self.order = _order(position)

    @cached_property
    def type(self) -> str:
        """Of a webhook its own, of any other line `log.` and its kind."""
        return str(self.entry.get("type")) if self.kind == WEBHOOK else f"log.{self.kind}"

    @property
    def name(self) -> str:
        """As the reader gets it."""
        return GAP if self._is_lost else self.type

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, about."""
        return len(self.data) + 1000

    @cached_property
    def id(self) -> str:
        return event_id(self.tag, self.position)

    @cached_property
    def body(self) -> bytes:
        """JSON, as the app gets it."""
        return self._body(_FIELDS_OF_APP)

    @cached_property
    def body_for_operators(self) -> bytes:
        return self._body(self.entry)

    def _body(self, names: Iterable[str]) -> bytes:
        at = round(time_of(self.entry))
        if self._is_lost:
            return envelope(GAP, at, orjson.dumps({"app_id": self.app_id}))
        if self.kind == WEBHOOK:
            return envelope(self.type, at, self.data, webhook_id=self.entry.get("webhook"))
        shown = {
            _NAMES.get(name, name): iso_ms(value) if name.endswith("_at") and isinstance(value, int) else value
            for name, value in self.entry.items()
            if name in names and name not in ("at", "kind")
        }
        if names is _FIELDS_OF_APP and "actor" in shown:
            shown["actor"] = _public_actor(shown["actor"])
        return envelope(self.type, at, orjson.dumps(shown))

    @property
    def _is_lost(self) -> bool:
        """A webhook whose data is kept no longer, or was not by an older version."""
        return self.kind == WEBHOOK and not self.data


def as_app_sees(entry: Entry) -> Entry:
    """An entry of the event log without what is not for its app; empty if nothing of it is."""
    if entry.get("kind") not in KINDS_OF_APP:
        return {}
    shown = {name: value for name, value in entry.items() if name in _FIELDS_OF_APP or name in ("at", "kind")}
    if "actor" in shown:
        shown["actor"] = _public_actor(shown["actor"])
    return shown


def _public_actor(actor: Any) -> str:
    """Not which of the operators it was."""
    return str(actor).partition(":")[0]


Item = LiveEvent | Notice


@dataclass(frozen=True, slots=True)
class Filter:
    """What passes: what matches one of each that is given. `types`: a type, a beginning with `.*`, or `*`. A line that
    is no webhook's is also matched by its own type behind its kind: `log.state.session.joined`.
    """

    apps: Sequence[str] = ()
    rooms: Sequence[str] = ()
    sessions: Sequence[str] = ()
    kinds: Sequence[str] = ()
    types: Sequence[str] = ()

    def __call__(self, event: LiveEvent) -> bool:
        entry = event.entry
        return (
            (not self.apps or event.app_id in self.apps)
            and (not self.rooms or entry.get("room") in self.rooms)
            and (not self.sessions or entry.get("session") in self.sessions)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.types or any(self._matches(pattern, event) for pattern in self.types))
        )

    @staticmethod
    def _matches(pattern: str, event: LiveEvent) -> bool:
        return matches(pattern, event.type) or (
            event.kind != WEBHOOK and matches(pattern, f"{event.type}.{event.entry.get('type')}")
        )


class Subscription:
    """One reader's stream, which `Feed.open` makes. `cut_off`: ends the reader's connection, even while it is being
    written to.
    """

    def __init__(
        self,
        feed: Feed,
        app_id: str | None,
        passes: Callable[[LiveEvent], bool],
        cut_off: Callable[[], None],
    ) -> None:
        self.app_id = app_id
        self.tags = (keys.partition_of(app_id),) if app_id else keys.TAGS
        self.positions: dict[str, str] = {}  # up to which the reader has all
        self.resumes = False
        self._feed = feed
        self._passes = passes
        self._cut_off = cut_off
        self._read: dict[str, tuple[int, int]] = {}  # up to where it was read from the log, once the feed took it on
        self._waiting: list[Item] = []
        self._bytes = 0
        self._news = Flag()
        self._has_ended = False

    @property
    def id(self) -> str:
        """The id of the last event that the reader has, or of one that it does not want: it can resume from here."""
        return ",".join(event_id(tag, self.positions[tag]) for tag in self.tags)

    @property
    def gap(self) -> Notice:
        return Notice(GAP, {"app_id": self.app_id} if self.app_id else {})

    def passed(self, event: LiveEvent) -> str:
        """The reader gets an event now. Returns its id."""
        self.positions[event.tag] = event.position
        return event.id if self.app_id else self.id

    def body_of(self, item: Item) -> bytes:
        return item.body if self.app_id else item.body_for_operators

    def batches(self) -> Iterator[list[Item]]:
        """What the reader is to get, in order: to be given to `passed` one after the other. An empty batch after
        IDLE_SECONDS without any. Ends with the stream. Raises StoreUnavailable while it resumes.
        """
        if self.resumes:
            yield from self._past(self.positions, {})
        reached = self._feed.take_on(self)
        missed = {tag: self.positions[tag] for tag in self.tags if _order(self.positions[tag]) < _order(reached[tag])}
        self._read = {tag: max(_order(self.positions[tag]), _order(reached[tag])) for tag in self.tags}
        yield from self._past(missed, reached)
        while not self._has_ended:
            if not self._waiting:
                self._news.clear()
                self._news.wait(IDLE_SECONDS)
            batch, self._waiting, self._bytes = self._waiting, [], 0
            if not batch:
                self._pass_over()
            if not self._has_ended:
                yield batch

    def offer(self, event: LiveEvent) -> None:
        """The feed has an event."""
        if not self._has_ended and event.order > self._read[event.tag] and self._wants(event):
            self.push(event)

    def push(self, item: Item) -> None:
        """Gives something to the reader, whatever it wants. Without waiting: a reader that is too slow is cut off."""
        self._waiting.append(item)
        self._bytes += item.size
        count = len(self._waiting)
        if count > MAX_WAITING or (count > 1 and self._bytes > MAX_WAITING_BYTES):
            metrics.event_streams_cut_off.inc()
            log.info("event stream read too slowly", app=self.app_id)
            self._cut_off()
            self.end()
        self._news.set()

    def end(self) -> None:
        """The reader gets no more. It may come back and resume."""
        self._has_ended = True
        self._waiting.clear()
        self._news.set()

    def close(self) -> None:
        """The reader is gone."""
        self.end()
        self._feed.forget(self)

    def _pass_over(self) -> None:
        """Nothing waits: the reader has all that it wants of what was handed out."""
        reached = self._feed.reached
        for tag in self.tags:
            self.positions[tag] = max(self.positions[tag], reached[tag], key=_order)

    def _past(self, behind: Mapping[str, str], until: Mapping[str, str]) -> Iterator[list[Item]]:
        """What passes of the logs behind these positions."""
        ends: dict[str, str] = {}
        logs = [self._past_of(tag, behind[tag], until.get(tag, ""), ends) for tag in behind]
        batch: list[Item] = []
        for item in heapq.merge(*logs, key=_time_of_item):
            batch.append(item)
            if len(batch) >= PAGE:
                yield batch
                batch = []
        if batch:
            yield batch
        self.positions |= ends

    def _past_of(self, tag: str, position: str, until: str, ends: dict[str, str]) -> Iterator[Item]:
        has_more = True
        while has_more and not self._has_ended:
            page = self._feed.read(tag, position, until, self.app_id)
            if not page.is_whole:
                yield self.gap
            position = page.end
            has_more = page.has_more
            for event in page.events:
                if self._wants(event):
                    yield event
        ends[tag] = position

    def _wants(self, event: LiveEvent) -> bool:
        return (self.app_id is None or event.kind in KINDS_OF_APP) and self._passes(event)


@dataclass(frozen=True, slots=True)
class _Page:
    """A part of a partition's log. `end`: the position up to which it goes; `is_whole`: whether none is known to be
    missing.
    """

    events: list[LiveEvent]
    end: str
    has_more: bool
    is_whole: bool


class Feed:
    """What is logged, for every stream of this process. `reader`: a store of its own, for the reads that wait."""

    def __init__(self, store: Store, reader: Store, registry: Registry) -> None:
        self.reached: dict[str, str] = {}  # by partition, up to where events have been handed out
        self._store = store
        self._reader = reader
        self._registry = registry
        self._open: set[Subscription] = set()
        self._count: Counter[str | None] = Counter()
        self._of_app: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._of_operators: set[Subscription] = set()
        self._following: dict[str, gevent.Greenlet[..., None]] = {}
        self._starting = BoundedSemaphore()
        # Whoever reads back far does so in turns with the others: page by page, and app by app.
        self._reading = Turns(total=1, per_app=1)

    def open(
        self,
        app_id: str | None,
        wanted: Filter,
        last_event_id: str = "",
        cut_off: Callable[[], None] = lambda: None,
    ) -> Subscription:
        """A stream of an app's events, or of all apps' for an operator (None). It begins now, or behind an event.

        Raises ValueError for an id that is none of the app's events; Refused `room_forbidden`, `quota_exceeded`,
        `too_many_streams`; StoreUnavailable. The subscription must be closed.
        """
        subscription = Subscription(self, app_id, wanted, cut_off)
        given = _parse_id(last_event_id, subscription.tags) if last_event_id else {}
        if app_id:
            self._check_rooms(app_id, wanted.rooms)
            limit = self._registry.quotas_of(app_id)["streams"]
            if self._count[app_id] >= limit:
                detail = {"quota": "streams", "limit": limit, "used": self._count[app_id]}
                raise Refused("quota_exceeded", detail)
        elif self._count[None] >= MAX_OF_OPERATORS:
            raise Refused("too_many_streams")
        self._open.add(subscription)
        self._count[app_id] += 1
        metrics.event_streams.inc()
        try:
            self._follow_all()
        except BaseException:
            subscription.close()
            raise
        subscription.resumes = bool(given)
        subscription.positions = given or {tag: self.reached[tag] for tag in subscription.tags}
        return subscription

    def stop(self) -> None:
        """Ends all streams."""
        self._end_all()
        gevent.killall(list(self._following.values()))

    # What subscriptions ask for

    def take_on(self, subscription: Subscription) -> dict[str, str]:
        """Hands out to a stream from now on. Returns up to where events were handed out before."""
        streams = self._of_app[subscription.app_id] if subscription.app_id else self._of_operators
        streams.add(subscription)
        return {tag: self.reached[tag] for tag in subscription.tags}

    def forget(self, subscription: Subscription) -> None:
        if subscription not in self._open:
            return
        metrics.event_streams.dec()
        self._open.discard(subscription)
        self._of_operators.discard(subscription)
        app_id = subscription.app_id
        self._count[app_id] -= 1
        if not self._count[app_id]:
            del self._count[app_id]
        if app_id and app_id in self._of_app:
            self._of_app[app_id].discard(subscription)
            if not self._of_app[app_id]:
                del self._of_app[app_id]

    def read(self, tag: str, position: str, until: str, app_id: str | None) -> _Page:
        """A page of a partition's log behind a position, at the most up to `until`. Of an app alone, or of all."""
        stream = keys.key(tag, "log")
        with self._reading.turn(app_id or ""):
            started = time.monotonic()
            found = self._store.read(stream, f"({position}", until or "+", count=PAGE)
            # Looked at behind the page: what was there then was there before.
            is_whole = self._store.has_all_behind(stream, position)
            if not found and not is_whole and _order(position) > _order(newest := self._store.newest(stream)):
                position = newest  # The store has lost what it had.
            own = f'"app":"{app_id}"'.encode() if app_id else b""
            picked = [(at, fields) for at, fields in found if own in fields.get(b"e", b"")]
            events = self._events(tag, picked)
            # As long for others: a process that reads back for some still answers requests.
            gevent.sleep(time.monotonic() - started if len(found) == PAGE else 0)
        end = found[-1][0] if found else position
        return _Page([each for each in events if app_id in (None, each.app_id)], end, len(found) == PAGE, is_whole)

    def _end_all(self) -> None:
        for subscription in list(self._open):
            subscription.end()

    # Following

    def _check_rooms(self, app_id: str, rooms: Iterable[str]) -> None:
        """One that is gone may be named: events of it may be yet to come, or to be read back."""
        for room in rooms:
            if self._store.app_of("room", room) not in (None, app_id):
                raise Refused("room_forbidden")

    def _follow_all(self) -> None:
        """Sees to it that all partitions are followed. Raises StoreUnavailable."""
        with self._starting:
            for group in self._store.followed_together:
                if group[0] not in self._following:
                    self.reached |= {tag: self._store.newest(keys.key(tag, "log")) for tag in group}
                    self._following[group[0]] = gevent.spawn(self._follow, group)

    def _follow(self, group: list[str]) -> None:
        """Until nobody watches."""
        was_away = False
        try:
            while self._open:
                try:
                    self._hand_out(group, was_away)
                    was_away = False
                except StoreUnavailable as error:
                    if not was_away:
                        log.warning("the store is not available; event streams wait for it", reason=str(error))
                    was_away = True
                    gevent.sleep(RETRY_SECONDS)
        except Exception:
            # Their readers come back, and with them another start. Fed by nobody, a stream would look like a quiet one.
            log.exception("event streams ended")
            self._end_all()
        finally:
            del self._following[group[0]]

    def _hand_out(self, group: list[str], was_away: bool) -> None:
        """One read of the logs of a group, and what it brings. Raises StoreUnavailable."""
        positions = {keys.key(tag, "log"): self.reached[tag] for tag in group}
        wait = min(WAIT_SECONDS, self._reader.timeout / 2)
        found = self._reader.follow(positions, count=PAGE, wait=wait)
        arrived = []
        for tag in group:
            stream = keys.key(tag, "log")
            page = found.get(stream, [])
            # Checked only when it could be: what is read at once was not trimmed.
            may_lack = was_away or len(page) == PAGE
            lacks = may_lack and not self._store.has_all_behind(stream, positions[stream])
            arrived.append((tag, page, self._events(tag, page), lacks))
        # From here on no other greenlet runs until all is handed out.
        for tag, page, _, lacks in arrived:
            if page:
                self.reached[tag] = page[-1][0]
            if lacks:
                self._tell_gap(tag)
        for event in heapq.merge(*(events for _, _, events, _ in arrived), key=_time_of_item):
            for subscription in (*self._of_app.get(event.app_id, ()), *self._of_operators):
                subscription.offer(event)

    def _tell_gap(self, tag: str) -> None:
        for subscription in list(self._open):
            if tag in subscription.tags:
                subscription.push(subscription.gap)

    def _events(self, tag: str, page: Iterable[tuple[str, Fields]]) -> list[LiveEvent]:
        events = []
        for position, fields in page:
            for entry in parsed(fields):
                data = fields.get(b"d") or self._large(tag, fields.get(b"l"))
                events.append(LiveEvent(tag, position, entry, data))
        return events

    def _large(self, tag: str, place: bytes | None) -> bytes:
        if place is None:
            return b""
        entry = place.decode()
        found = self._store.read(keys.key(tag, "large"), entry, entry)
        return found[0][1][b"d"] if found else b""


def _parse_id(text: str, tags: Sequence[str]) -> dict[str, str]:
    """The position in each partition. Raises ValueError."""
    positions = dict(map(parse_event_id, text.split(",", len(tags))))
    if set(positions) != set(tags):
        raise ValueError("is not the id of an event of this application")
    return positions


def _order(position: str) -> tuple[int, int]:
    ms, _, number = position.partition("-")
    return int(ms), int(number)


def _time_of_item(item: Item) -> float:
    return time_of(item.entry) if isinstance(item, LiveEvent) else 0
