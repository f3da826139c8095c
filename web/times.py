"""Points in time as clients see them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(seconds: int) -> str:
    """Epoch seconds as `2026-05-06T12:34:56Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
