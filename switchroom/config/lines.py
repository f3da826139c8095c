"""Where in a TOML file everything stands: the standard library's parser does not say."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A table or key, from the outside: ("nodes", 0, "esl").
Place = tuple[str | int, ...]

_TABLE = re.compile(r"\s*(\[\[|\[)\s*([^\]]+?)\s*\]")
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")


def find_lines(text: str) -> dict[Place, int]:
    """The line on which each table and key of a TOML text begins: ("nodes", 0, "esl") -> 7."""
    lines: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    for number, line in _outside_long_strings(text):
        if found := _TABLE.match(line):
            table = _parts(found[2])
            if found[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            lines.setdefault(table, number)
        elif found := _KEY.match(line):
            place = (*table, *_parts(found[1]))
            for end in range(len(table) + 1, len(place) + 1):
                lines.setdefault(place[:end], number)
    return lines


def _parts(dotted: str) -> Place:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _outside_long_strings(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, but none that begins inside a multi-line string."""
    closing = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not closing:
            yield number, line
        for quotes in re.findall(r'"""|\'\'\'', line):
            closing = ("" if quotes == closing else closing) if closing else quotes
