"""`switchroom top`: what the service does now, live in a terminal.

Nodes and processes name themselves; none of it reaches the terminal unescaped, and no markup is read in it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import click
import gevent
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from controller.errors import StoreUnavailable
from controller.registry import Node, Registry
from controller.statistics import History, Now, Process, Statistics, Totals
from controller.store.store import Load, Store
from switchroom.cli.base import Command, Context
from switchroom.cli.signals import interrupt_on_signals
from switchroom.logs import escaped
from switchroom.store import open_store

MINUTES = 8  # of the past that is drawn, so that it fits into 80 columns
BARS = "▁▂▃▄▅▆▇█"
UNKNOWN = "-"
STYLES = {"up": "green", "down": "bold red", "drained": "yellow"}


@dataclass(frozen=True, slots=True)
class View:
    """What is shown. `loads`: by prefix, what is on the nodes that are up. `rooms`: how many there are, one that spans
    nodes being one room.
    """

    nodes: Sequence[Node]
    loads: dict[str, Load]
    rooms: int
    now: Now
    history: History
    processes: Sequence[Process]

    @classmethod
    def read(cls, store: Store, registry: Registry, statistics: Statistics) -> View:
        """Raises StoreUnavailable."""
        nodes = sorted(registry.nodes(), key=lambda node: node.prefix)
        prefixes = [node.prefix for node in nodes]
        return cls(
            nodes=nodes,
            loads=store.loads(prefixes),
            rooms=Totals.count(store, prefixes).all_rooms,
            now=statistics.now(),
            history=statistics.history(MINUTES),
            processes=statistics.processes(),
        )

    def draw(self, problem: str = "") -> Group:
        """`problem`: why this is not of now."""
        parts: list[RenderableType] = [self._totals(), self._nodes(), self._processes(), self._past()]
        if problem:
            parts.append(Text(problem, style="bold red"))
        return Group(*(line for part in parts for line in (part, "")))

    def _totals(self) -> Text:
        sessions = sum(load.calls for load in self.loads.values())
        rates, latency, pending = self.now["rates"], self.now["latency"], self.now["pending"]
        facts = [
            [
                ("nodes up", f"{len(self.loads)} of {len(self.nodes)}"),
                ("rooms", str(self.rooms)),
                ("sessions", str(sessions)),
                ("webhooks waiting", UNKNOWN if pending is None else str(pending)),
            ],
            [
                ("events/s", _number(rates["events"])),
                ("commands/s", _number(rates["commands"])),
                ("webhooks/s", _number(rates["webhooks"])),
            ],
            [
                ("event to webhook, ms: half within", _number(latency["p50_ms"])),
                ("99 % within", _number(latency["p99_ms"])),
            ],
        ]
        return Text("\n").join(
            Text("  ").join(Text.assemble((f"{name} ", "dim"), (value, "bold")) for name, value in line)
            for line in facts
        )

    def _nodes(self) -> Table:
        events: Counter[str] = Counter()
        for process in self.processes:
            events.update(process["events"])
        table = _table("node", "state", "region", numbers=("rooms", "sessions", "events/s"))
        for node in self.nodes:
            load = self.loads.get(node.prefix)
            state = "down" if load is None else "drained" if node.drained else "up"
            counts = (UNKNOWN, UNKNOWN) if load is None else (str(load.load - load.calls), str(load.calls))
            table.add_row(
                _text(node.prefix),
                Text(state, STYLES[state]),
                _text(node.region),
                *counts,
                _number(events[node.prefix] if self.processes else None),
            )
        return table

    def _processes(self) -> Table:
        table = _table("process", "roles", numbers=("MiB", "greenlets"))
        for process in self.processes:
            memory, greenlets = (process["held"].get(name) for name in ("memory", "greenlets"))
            table.add_row(
                _text(process["name"]),
                _text(" ".join(process["roles"])),
                UNKNOWN if memory is None else str(memory >> 20),
                UNKNOWN if greenlets is None else str(greenlets),
            )
        return table

    def _past(self) -> Table:
        table = _table("", f"the last {MINUTES} minutes", numbers=("most/s",))
        past = self.history
        for name, values in (
            ("events", past["events"]),
            ("commands", past["commands"]),
            ("webhooks", past["webhooks"]),
        ):
            most = max((value for value in values if value is not None), default=None)
            table.add_row(name, Text(_bars(values, most or 0), "cyan"), _number(most))
        return table


@click.command(cls=Command)
@click.option("--interval", type=click.FloatRange(0.5), default=2.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Print it once, and end.")
@click.pass_obj
def top(context: Context, interval: float, once: bool) -> None:
    """Show nodes, rooms, rates and processes, live. Rates are those of the last ten seconds."""
    config = context.config()
    interrupt_on_signals()
    console = Console(highlight=False)
    with open_store(config, create=False) as (store, _):
        source = store, Registry(store), Statistics(store)
        view = View.read(*source)
        if once:
            console.print(view.draw())
            return
        try:
            # Without a thread of its own, which would draw while this process waits for the store.
            with Live(view.draw(), console=console, screen=console.is_terminal, auto_refresh=False) as live:
                while True:
                    gevent.sleep(interval)
                    try:
                        view = View.read(*source)
                        live.update(view.draw(), refresh=True)
                    except StoreUnavailable as error:
                        live.update(view.draw(f"{time.strftime('%H:%M:%S')} {escaped(str(error))}"), refresh=True)
        except KeyboardInterrupt:
            pass


def _table(*columns: str, numbers: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    # Where space is short, numbers stay whole: only what may wrap is made narrower.
    for name in columns:
        table.add_column(name, overflow="ellipsis")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _text(value: str) -> Text:
    return Text(escaped(value))


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}"


def _bars(values: Sequence[float | None], most: float) -> str:
    """A character for each value; a blank where nothing is known."""
    return "".join(" " if value is None else BARS[round(value / (most or 1) * (len(BARS) - 1))] for value in values)
