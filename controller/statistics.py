"""The last hour of all processes together: events, commands, webhooks and their latency, for the console and `top`.

How it works: time is cut into steps of STEP_SECONDS, from one multiple of it to the next. After each step every process
adds an entry with what it has counted meanwhile to one stream of the store. Readers add up the entries of a step. An
entry goes after KEPT_SECONDS. The counts are those of the metrics that Prometheus reads, so nothing is counted twice.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypedDict

import gevent
import orjson
from prometheus_client import Counter as CounterMetric
from prometheus_client import Histogram

from controller import metrics
from controller.errors import StoreUnavailable
from controller.store import keys
from controller.store.store import Store
from controller.webhooks.metrics import LAG, LAG_SECONDS, PENDING

STEP_SECONDS = 10
KEPT_SECONDS = 3600
GRACE_SECONDS = 2.0  # in which all processes have added their entries of a step
MARGIN_SECONDS = 0.01  # by which a process waits longer than to the end of a step, so that it does not wake before
RECENT_STEPS = 6
STREAM = keys.key(keys.REGISTRY, "stats")

# By name of what is counted, how often, by what.
Counts = dict[str, Counter[str]]
Entry = dict[str, Any]
_FIELDS = ("process", "roles", "counts", "pending", "held")

# What each partition has, of which Totals has the sum.
_SUMMED = ("all_rooms", "members", "pending")


@dataclass(frozen=True, slots=True)
class Totals:
    """What there is of all apps. `rooms`, `sessions`: by the node's prefix. `all_rooms`: one that spans nodes once."""

    rooms: Counter[str]
    sessions: Counter[str]
    all_rooms: int
    members: int
    pending: int

    @classmethod
    def count(cls, store: Store, nodes: Sequence[str]) -> Totals:
        """`nodes`: the prefixes of those on which is counted."""
        rooms, sessions, numbers = Counter[str](), Counter[str](), Counter[str]()
        for reply in store.run_many([("count", tag, {"nodes": nodes}) for tag in keys.TAGS]):
            rooms.update(reply["rooms"])
            sessions.update(reply["sessions"])
            numbers.update({name: reply[name] for name in _SUMMED})
        return cls(rooms, sessions, numbers["all_rooms"], numbers["members"], numbers["pending"])


class History(TypedDict):
    """A value for each step, the oldest first; None where nothing is known. `at`: when it began (epoch s).

    `events` of nodes, `commands` that were accepted and `webhooks` that were delivered are per second. `pending`:
    webhooks in the outboxes. The latency is that from a change of state to the delivery of its webhook.
    """

    step_seconds: int
    at: list[int]
    events: list[float | None]
    webhooks: list[float | None]
    commands: list[float | None]
    pending: list[int | None]
    latency_p50_ms: list[float | None]
    latency_p99_ms: list[float | None]


class Rates(TypedDict):
    """Per second."""

    events: float | None
    commands: float | None
    webhooks: float | None


class Latency(TypedDict):
    p50_ms: float | None
    p99_ms: float | None


class Now(TypedDict):
    """The rates of the last step, and the latency over the last minute; None where nothing is known."""

    rates: Rates
    latency: Latency
    pending: int | None


class Process(TypedDict):
    """`events`: per second, by node. `held`: how much of what it holds, by name."""

    name: str
    roles: list[str]
    events: dict[str, float]
    held: dict[str, int]


class Recorder:
    """Adds what this process counts to the statistics, from `start` to `stop`. `held` says what it holds, by name.
    `clock` gives wall time in seconds.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        roles: Sequence[str],
        held: Callable[[], Mapping[str, int]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._process = {"process": name, "roles": list(roles)}
        self._held = held
        self._clock = clock
        self._before = _counted()
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    def stop(self, timeout: float) -> None:
        if self._greenlet is not None:
            self._greenlet.kill(timeout=timeout)

    def record(self) -> None:
        """Adds what was counted since the last time to the step that has just ended. Raises StoreUnavailable."""
        now, counted = self._clock(), _counted()
        counts = {name: counted[name] - self._before[name] for name in counted}
        self._before = counted
        pending = self._store.length("outbox")
        PENDING.set(pending)
        entry = {
            **self._process,
            "at": _step_of(now) - STEP_SECONDS,
            "counts": counts,
            "pending": pending,
            "held": self._held(),
        }
        self._store.append(STREAM, {"e": orjson.dumps(entry)}, since=int(now - KEPT_SECONDS) * 1000)

    def _run(self) -> None:
        while True:
            now = self._clock()
            gevent.sleep(_step_of(now) + STEP_SECONDS - now + MARGIN_SECONDS)
            # Whoever needs the store reports that it is away.
            with suppress(StoreUnavailable):
                self.record()


class Statistics:
    """Reads what all processes have recorded. Every method raises StoreUnavailable. `clock` gives wall time (s)."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def history(self, minutes: int = 60) -> History:
        """The last steps that are over: at most those of an hour."""
        count = min(minutes * 60, KEPT_SECONDS) // STEP_SECONDS
        found = self._read(count)
        steps = list(found.values())
        latencies = [_latency([step]) for step in steps]
        return History(
            step_seconds=STEP_SECONDS,
            at=list(found),
            events=[_rate(step, "events") for step in steps],
            webhooks=[_rate(step, "webhooks") for step in steps],
            commands=[_rate(step, "commands") for step in steps],
            pending=[_pending(step) for step in steps],
            latency_p50_ms=[latency["p50_ms"] for latency in latencies],
            latency_p99_ms=[latency["p99_ms"] for latency in latencies],
        )

    def now(self) -> Now:
        steps = list(self._read(RECENT_STEPS).values())
        last = steps[-1]
        return Now(
            rates=Rates(
                events=_rate(last, "events"), commands=_rate(last, "commands"), webhooks=_rate(last, "webhooks")
            ),
            latency=_latency(steps),
            pending=_pending(last),
        )

    def processes(self) -> list[Process]:
        """Those that have recorded the last step."""
        (step,) = self._read(1).values()
        return [
            Process(
                name=entry["process"],
                roles=entry["roles"],
                events={node: count / STEP_SECONDS for node, count in entry["counts"].get("events", {}).items()},
                held=entry["held"],
            )
            for entry in sorted(step, key=lambda entry: str(entry["process"]))
        ]

    def _read(self, count: int) -> dict[int, list[Entry]]:
        """The entries of the last `count` steps that are over, by when the step began, the oldest first."""
        end = _step_of(self._clock() - GRACE_SECONDS)
        steps: dict[int, list[Entry]] = {end - number * STEP_SECONDS: [] for number in range(count, 0, -1)}
        for _, fields in self._store.read(STREAM, str(next(iter(steps), end) * 1000)):
            with suppress(KeyError, orjson.JSONDecodeError):
                entry = orjson.loads(fields[b"e"])
                steps[entry["at"]].append({name: entry[name] for name in _FIELDS})
        return steps


def _step_of(at: float) -> int:
    """When the step began in which `at` is (epoch s)."""
    return int(at // STEP_SECONDS) * STEP_SECONDS


def _counted() -> Counts:
    """Since the process started: `events` by node, `commands` that were accepted by their name, and `webhooks` that
    were delivered by the upper bound of their latency (s).
    """
    return {
        "events": _by_label(metrics.node_events, "node"),
        "commands": _by_label(metrics.commands, "command", outcome="accepted"),
        "webhooks": _by_bound(LAG),
    }


def _by_label(metric: CounterMetric, label: str, **only: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for sample in (sample for family in metric.collect() for sample in family.samples):
        if sample.name.endswith("_total") and only.items() <= sample.labels.items():
            found[sample.labels[label]] += int(sample.value)
    return found


def _by_bound(metric: Histogram) -> Counter[str]:
    found: Counter[str] = Counter()
    below = 0
    for sample in (sample for family in metric.collect() for sample in family.samples):
        if sample.name.endswith("_bucket"):
            found[sample.labels["le"]] = int(sample.value) - below
            below = int(sample.value)
    return found


def _rate(step: Sequence[Entry], name: str) -> float | None:
    if not step:
        return None
    return sum(sum(entry["counts"].get(name, {}).values()) for entry in step) / STEP_SECONDS


def _pending(step: Sequence[Entry]) -> int | None:
    """All processes count the same, one a little later than the other."""
    return max((entry["pending"] for entry in step), default=None)


def _latency(steps: Sequence[Sequence[Entry]]) -> Latency:
    counts: defaultdict[float, int] = defaultdict(int)
    for entry in (entry for step in steps for entry in step):
        for bound, count in entry["counts"].get("webhooks", {}).items():
            counts[float(bound)] += count
    return Latency(p50_ms=_percentile(counts, 0.5), p99_ms=_percentile(counts, 0.99))


def _percentile(counts: Mapping[float, int], share: float) -> float | None:
    """In ms, as if the values of a bucket were spread evenly in it; those of the last one count as its lower bound."""
    left = share * sum(counts.values())
    for bound in sorted(counts):
        if left <= counts[bound]:
            place = bisect_left(LAG_SECONDS, bound)
            lower = LAG_SECONDS[place - 1] if place else 0.0
            upper = bound if place < len(LAG_SECONDS) else lower
            return round((lower + (upper - lower) * left / counts[bound]) * 1000, 1)
        left -= counts[bound]
    return None
