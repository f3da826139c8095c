"""Points in time as text: ISO 8601, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache
def iso(seconds: int) -> str:
    """Epoch seconds as `2026-05-06T12:34:56Z`."""
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()}Z"


def iso_ms(milliseconds: int | None) -> str | None:
    """Epoch milliseconds as `2026-05-06T12:34:56.789Z`; None as None."""
    if milliseconds is None:
        return None
    return f"{iso(milliseconds // 1000)[:-1]}.{milliseconds % 1000:03d}Z"


def parse_ms(text: str) -> int:
    """ISO 8601, with milliseconds or without, as epoch milliseconds. Raises ValueError."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
