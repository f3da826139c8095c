"""Tables on the command line: for people on a terminal, for programs in a pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import TextWrapper
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from switchroom.logs import escaped

Row = Mapping[str, Any]

_UNBOUNDED = 10_000  # wider than any terminal


def table(columns: Sequence[str], rows: Sequence[Row], width: int | None) -> str:
    """All rows, each with the columns' values. `width`: of the terminal; None when it is none.

    In a pipe it is one line a row, with tabs between. On a terminal no word is broken, so that an id can be copied:
    where space is short, lines break between words, and where even that is too wide, each value gets its own line.
    """
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    if width is None:
        return "\n".join("\t".join(line) for line in (columns, *cells))
    if not cells:
        return "none"
    side_by_side = Table(box=None, pad_edge=False)
    for name, *values in zip(columns, *cells, strict=True):
        side_by_side.add_column(name, no_wrap=not any(" " in value for value in values))
    for line in cells:
        side_by_side.add_row(*map(Text, line))
    console = Console(width=width, color_system=None, highlight=False)
    needed = Measurement.get(console, console.options.update(max_width=_UNBOUNDED), side_by_side).minimum
    if needed > width:
        return "\n\n".join(fields({name: row[name] for name in columns}, width) for row in rows)
    with console.capture() as capture:
        console.print(side_by_side)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def fields(row: Row, width: int | None) -> str:
    """Each value that there is with its name, on a line of its own if there is room; `width` as above."""
    lines = [(name, value) for name, value in ((name, _cell(value)) for name, value in row.items()) if value]
    if width is None:
        return "\n".join("\t".join(line) for line in lines)
    indent = max(map(len, row)) + 2
    wrapper = TextWrapper(max(1, width - indent), break_long_words=False, break_on_hyphens=False)
    below = "\n" + " " * indent
    return "\n".join(f"{name:<{indent}}{below.join(wrapper.wrap(value))}" for name, value in lines)


def _cell(value: Any) -> str:
    """One line, whatever is in it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escaped(", ".join(value) if isinstance(value, list | tuple) else str(value))
