"""The event log as people and programs see it; reading it is tested in tests/integration/test_tail.py."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from switchroom.cli.tail import Filter, as_json, as_text
from switchroom.cli.times import parse_time

ENTRY = {
    "at": 1_700_000_000_123,
    "kind": "webhook",
    "type": "conference.play.started",
    "app": "demo",
    "room": "acW68-room-1",
    "sequence": 3,
}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 970),
        ("10m", 400),
        ("0h", 1000),
        ("1970-01-01T00:00:05Z", 5),
        ("1970-01-01T01:00:05+01:00", 5),
        ("999999d", 0),
        ("1900-01-01", 0),
    ],
)
def test_since(text: str, seconds: int) -> None:
    assert parse_time(text, now=1000) == seconds * 1000


def test_since_without_a_zone_is_local_time() -> None:
    local = datetime(2026, 1, 2, 3, 4, 5).astimezone()
    assert parse_time("2026-01-02T03:04:05", now=0) == local.astimezone(UTC).timestamp() * 1000


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "10 m", "tomorrow", "9999999m", "10w"])
def test_since_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="neither a time"):
        parse_time(text, now=1000)


@pytest.mark.parametrize(
    ("patterns", "passes"),
    [
        ({}, True),
        ({"type": ("conference.play.*",)}, True),
        ({"type": ("conference.member.*", "*started")}, True),
        ({"type": ("conference",)}, False),
        ({"app": ("demo",), "room": ("acW68-*",)}, True),
        ({"app": ("demo",), "room": ("other-*",)}, False),
        ({"session": ("*-1",)}, False),
        ({"app": ()}, True),
    ],
)
def test_filters(patterns: dict[str, tuple[str, ...]], passes: bool) -> None:
    assert Filter(patterns)(ENTRY) is passes


def test_a_line_for_people() -> None:
    line = as_text(ENTRY).plain
    assert line.endswith("webhook  conference.play.started          app=demo room=acW68-room-1 sequence=3")


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (datetime(2026, 5, 6, 0, 0, 0, 5000), "00:00:00.005 "),
        (datetime(2026, 5, 5, 23, 59, 59), "2026-05-05 23:59:59.000 "),
        (datetime(2025, 5, 6, 12, 0, 0), "2025-05-06 12:00:00.000 "),
    ],
)
def test_a_time_has_its_date_unless_it_is_of_today(at: datetime, shown: str) -> None:
    now = datetime(2026, 5, 6, 12, 0, 0)
    line = as_text({**ENTRY, "at": at.timestamp() * 1000, "next_at": at.timestamp() * 1000}, now).plain
    assert line.startswith(shown)
    assert line.endswith(f" next_at={shown.strip()}")


def test_what_is_empty_is_left_out() -> None:
    line = as_text({**ENTRY, "reason": "", "status": None, "attempt": 0}).plain
    assert line.endswith("sequence=3 attempt=0")


NASTY = "\x1b[2J\x9b1m\r\n[red]\u202e\x07"


@pytest.mark.parametrize("name", ["kind", "type", "app", "reason"])
def test_nothing_in_an_entry_acts_on_a_terminal(name: str) -> None:
    for shown in (as_text({**ENTRY, name: NASTY}), as_text({**ENTRY, NASTY: "x"}), as_text({**ENTRY, name: [NASTY]})):
        assert not set(shown.plain) & set("\x1b\x9b\r\n\u202e\x07")
        assert "[red]" in shown.plain
    line = as_json({**ENTRY, name: NASTY})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)[name] == NASTY


@pytest.mark.parametrize("at", [None, "yesterday", 10**30, float("nan")])
def test_an_entry_without_a_time_is_shown(at: object) -> None:
    assert as_text({**ENTRY, "at": at}).plain.startswith("--:--:--.--- webhook")
