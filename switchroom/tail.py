"""The event log as `switchroom tail` shows it.

Entries hold what callers and tenants chose (names, numbers, URLs); none of it reaches a terminal unescaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from rich.text import Text

from controller.event_log import Entry
from switchroom.logs import escaped

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
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


def parse_since(text: str, now: float) -> int:
    """`10m`, `2h`, `1d` ago, or an ISO 8601 time, as epoch milliseconds, 0 at the least. Raises ValueError."""
    if found := re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip()):
        return max(0, int((now - int(found[1]) * _UNITS[found[2]]) * 1000))
    try:
        return max(0, int(datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1000))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is neither a time such as 10m, 2h or 1d nor ISO 8601") from None


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


def show(entries: Iterable[Entry], wanted: Filter, write: Callable[[Entry], None]) -> None:
    for entry in entries:
        if wanted(entry):
            write(entry)


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
