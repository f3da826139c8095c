"""`switchroom tail`: the event log, for people or as JSON.

Entries hold what callers and tenants chose (names, numbers, URLs); none of it reaches a terminal unescaped.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from controller.event_log import Entry, Log
from switchroom.cli.base import Command, Context
from switchroom.cli.signals import interrupt_on_signals
from switchroom.cli.times import time_option
from switchroom.logs import escaped
from switchroom.store import open_reader, open_store

_COLORS = {
    "command": "cyan",
    "refused": "red",
    "event": "green",
    "state": "blue",
    "webhook": "magenta",
    "delivery": "yellow",
}
_COLUMNS = ("app", "room", "session", "operation")


@dataclass(frozen=True, slots=True)
class Filter:
    """Shell patterns by field; an entry passes when each field matches one of its patterns."""

    patterns: Mapping[str, tuple[str, ...]]

    def __call__(self, entry: Entry) -> bool:
        return all(
            any(fnmatchcase(str(entry.get(name) or ""), pattern) for pattern in patterns)
            for name, patterns in self.patterns.items()
            if patterns
        )


def as_json(entry: Entry) -> str:
    """One line, ASCII only, so that nothing in it can act on a terminal."""
    return json.dumps(entry, separators=(",", ":"))


def as_text(entry: Entry, now: datetime | None = None) -> Text:
    """One line in columns for people. No markup is read in it, and control characters are escaped."""
    now = now or datetime.now()
    kind = _shown(entry.get("kind"))
    line = Text().append(_clock(entry.get("at"), now), style="dim")
    line.append(f" {kind:<8} ", style=_COLORS.get(kind, ""))
    line.append(f"{_shown(entry.get('type')):<32}", style="bold")
    for name in _COLUMNS:
        if entry.get(name):
            line.append(f" {name}=", style="dim")
            line.append(_shown(entry[name]))
    for name, value in entry.items():
        if name not in ("at", "kind", "type", *_COLUMNS) and value not in (None, ""):
            line.append(f" {escaped(name)}=", style="dim")
            line.append(_clock(value, now) if name.endswith("_at") else _shown(value), style="dim")
    line.rstrip()
    return line


def _clock(at: Any, now: datetime) -> str:
    """Local time, with the date unless it is today's."""
    try:
        moment = datetime.fromtimestamp(at / 1000)
    except (TypeError, ValueError, OverflowError, OSError):
        return "--:--:--.---"
    return moment.strftime("%H:%M:%S.%f" if moment.date() == now.date() else "%Y-%m-%d %H:%M:%S.%f")[:-3]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return escaped(value)
    return "" if value is None else json.dumps(value, separators=(",", ":"))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave the end to the caller, whose store is still open."""
        raise BrokenPipeError


@click.command(cls=Command, short_help="Follow the event log.")
@click.option("--app", multiple=True, help="Only this app. Repeatable, as all filters; * and ? match.")
@click.option("--room", multiple=True, help="Only this room.")
@click.option("--session", multiple=True, help="Only this session.")
@click.option("--type", multiple=True, help="Only this type, such as 'conference.play.*'.")
@click.option("--since", callback=time_option, help="Also what was before: 10m, 2h, 1d ago, or an ISO 8601 time.")
@click.option("--json", "json_lines", is_flag=True, help="Each entry as a line of JSON.")
@click.option("--no-follow", is_flag=True, help="End at the end; without --since, from the beginning.")
@click.pass_obj
def tail(
    context: Context, /, *, since: int | None, json_lines: bool, no_follow: bool, **patterns: tuple[str, ...]
) -> None:
    """Follow the event log: commands, also refused ones, events, state changes and deliveries as they happen."""
    passes = Filter(patterns)
    console = _Console(soft_wrap=True)

    def show(entries: Iterable[Entry]) -> None:
        for entry in filter(passes, entries):
            if json_lines:
                click.echo(as_json(entry))
            else:
                console.print(as_text(entry))

    config = context.config()
    interrupt_on_signals()
    try:
        with open_store(config, create=False) as (store, url), open_reader(config, url) as reader:
            entries = Log(store, reader)
            if since is not None or no_follow:
                show(entries.past(since or 0))
            else:
                entries.skip()
            if not no_follow:
                show(entries.follow())
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever read has seen enough. What is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
