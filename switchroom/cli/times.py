"""Times as they are given on the command line."""

from __future__ import annotations

import re
import time
from datetime import datetime

import click

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_time(text: str, now: float) -> int:
    """`10m`, `2h`, `1d` ago, or an ISO 8601 time, as epoch milliseconds, 0 at the least. Raises ValueError."""
    if found := re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip()):
        return max(0, int((now - int(found[1]) * UNITS[found[2]]) * 1000))
    try:
        return max(0, int(datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1000))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is neither a time such as 10m, 2h or 1d nor ISO 8601") from None


def time_option(_context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """A callback of options that are a time."""
    try:
        return None if text is None else parse_time(text, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from error
