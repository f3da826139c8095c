"""A chaos run: rounds of faults under load, a quiet moment after each, and what must be true checked there."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import gevent

from tests.chaos.faults import FAULTS, Planned, Scene, possible, rounds
from tests.chaos.load import Load
from tests.chaos.world import POLL_SECONDS, PREFIXES, World, seeded

# Within which everything must agree again after the last fault of a round. Lost events are found by the audit, and a
# lost answer to a play is awaited for 45 s.
RECOVERY_SECONDS = 90.0
# Of load before the first fault, between rounds, and before the last comparison.
BETWEEN_SECONDS = 1.0
# After which it is said what is waited for.
PATIENCE_SECONDS = 5.0
MAX_SHOWN = 40
REAL = " (FreeSWITCH)"


@dataclass
class Kind:
    """What came of one kind of fault."""

    count: int = 0
    longest: float = 0.0
    total: float = 0.0
    delivered: float = 0.0
    losses: int = 0


@dataclass
class Report:
    seed: int
    kinds: defaultdict[str, Kind] = field(default_factory=lambda: defaultdict(Kind))
    violations: list[str] = field(default_factory=list)
    excerpts: list[str] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    hooks: int = 0
    repeats: int = 0
    requests: int = 0
    slowest_503: float = 0.0
    seconds: float = 0.0
    spanning: int = 0
    moved: int = 0

    @property
    def faults(self) -> int:
        return sum(kind.count for kind in self.kinds.values())

    def table(self) -> list[str]:
        lines = ["| fault | times | longest recovery | mean | longest until all webhooks were there | losses |"]
        lines.append("|---|---:|---:|---:|---:|---:|")
        order = [name + where for name in FAULTS for where in ("", REAL)]
        for name, kind in sorted(self.kinds.items(), key=lambda item: order.index(item[0])):
            mean = kind.total / kind.count
            lines.append(
                f"| {name} | {kind.count} | {kind.longest:.1f} s | {mean:.1f} s | {kind.delivered:.1f} s | {kind.losses} |"
            )
        lines.append(
            f"{self.faults} faults in {self.seconds:.0f} s; {self.requests} requests, {self.hooks} webhooks "
            f"({self.repeats} repeated); {self.spanning} rooms with legs, {self.moved} that have moved; "
            f"the slowest 503 took {self.slowest_503:.1f} s; actions {dict(self.actions)}"
        )
        return lines


class Run:
    """One run on a `World` of its own. `say` gets a line for everything that happens."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        kinds: list[str] | None = None,
        often: list[str] | None = None,
        broken: str = "",
        real: bool = False,
        cluster: bool = False,
        rate: float = 12.0,
        recovery: float = RECOVERY_SECONDS,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.report = Report(seed)
        self._say = say
        self._recovery = recovery
        self._real = real
        self._world = World(folder, broken, real, cluster)
        self._load = Load(self._world, seeded(seed, "actions"), rate)
        self._rounds = rounds(seeded(seed, "faults"), possible(kinds, real, cluster), often)
        self._since = time.monotonic()

    def go(self, faults: int, seconds: float) -> Report:
        """Until there were that many faults, the time is over, or something is wrong."""
        report = self.report
        try:
            self._load.resume()
            gevent.sleep(BETWEEN_SECONDS)
            while report.faults < faults and time.monotonic() - self._since < seconds and not report.violations:
                self._round(next(self._rounds))
            return report
        finally:
            self._load.stop()
            self._world.close()
            report.actions = self._load.counts
            report.hooks, report.repeats = self._world.ledger.hooks, self._world.endpoints.repeats
            report.requests = len(self._world.ledger.requests)
            report.spanning, report.moved = len(self._world.spanning), len(self._world.moved)
            report.slowest_503 = self._world.ledger.slowest_503
            report.seconds = time.monotonic() - self._since

    def _round(self, planned: list[Planned]) -> None:
        self._load.resume()
        gevent.sleep(BETWEEN_SECONDS)
        running = [gevent.spawn(self._inject, fault) for fault in planned]
        gevent.joinall(running, raise_error=True)
        self._load.pause()
        agreed, done = self._quieten()
        self._note([greenlet.value for greenlet in running], agreed, done)

    def _inject(self, planned: Planned) -> tuple[Planned, float]:
        """-> on which node it was, and when it had healed."""
        gevent.sleep(planned.after)
        fault = FAULTS[planned.kind]
        if fault.busiest:
            planned = replace(planned, node=PREFIXES.index(self._world.busiest()))
        prefix = PREFIXES[planned.node]
        self._say(f"{planned.kind} ({prefix if fault.part == 'link' else '-'}, {planned.hold:.1f} s)")
        fault.do(Scene(self._world, self._load, self._world.nodes[prefix], planned.hold, planned.chance))
        return planned, time.monotonic()

    def _quieten(self) -> tuple[dict[str, float], float]:
        """Wait until all agree, all webhooks have come, and legs that nobody uses have gone. -> since when each node agrees,
        and when the webhooks were there.
        """
        world, since = self._world, time.monotonic()
        delivered = 0.0
        agreed: dict[str, float] = {}
        explain = since + PATIENCE_SECONDS
        while True:
            problems = world.differences()
            now = time.monotonic()
            for prefix in PREFIXES:
                if any(prefix in problem or not any(p in problem for p in PREFIXES) for problem in problems):
                    agreed.pop(prefix, None)
                else:
                    agreed.setdefault(prefix, now)
            late = world.missing() if not problems else []
            delivered = 0.0 if problems or late else delivered or now
            late += world.unused
            wrong = world.ledger.violations + world.endpoints.problems + world.done_twice()
            if wrong or now - since > self._recovery:
                prefix = "at that time" if wrong else f"not within {self._recovery:.0f} s"
                self.report.violations = wrong + [f"{prefix}: {problem}" for problem in problems + late]
                self.report.excerpts = world.ledger.excerpt(" ".join(self.report.violations))
            if not (problems or late) or self.report.violations:
                return {prefix: agreed.get(prefix, now) for prefix in PREFIXES}, delivered or now
            if now > explain:
                self._say(f"    still: {'; '.join((problems + late)[:3])}")
                explain = float("inf")
            gevent.sleep(POLL_SECONDS)

    def _note(self, faults: list[tuple[Planned, float]], agreed: dict[str, float], done: float) -> None:
        hit = {PREFIXES[planned.node] for planned, _ in faults if FAULTS[planned.kind].part == "link"}
        # What is on a node that had a fault of its own says nothing about the others.
        unharmed = [at for prefix, at in agreed.items() if prefix not in hit] or list(agreed.values())
        took = []
        for planned, healed in faults:
            own = FAULTS[planned.kind].part == "link"
            recovery = max(0.0, (agreed[PREFIXES[planned.node]] if own else max(unharmed)) - healed)
            kind = self.report.kinds[planned.kind + (REAL if own and self._real and planned.node == 0 else "")]
            kind.count += 1
            kind.longest, kind.total = max(kind.longest, recovery), kind.total + recovery
            kind.delivered = max(kind.delivered, done - healed)
            kind.losses += len(self.report.violations)
            took.append(f"{recovery:.1f}")
        last = max(healed for _, healed in faults)
        self._say(
            f"    agreed after {', '.join(took)} s, all delivered after {done - last:.1f} s; {self.report.faults} faults"
        )
        for violation in self.report.violations[:MAX_SHOWN]:
            self._say(f"  WRONG {violation}")
