"""Tables as people and programs get them."""

from __future__ import annotations

from typing import Any

import pytest

from switchroom.cli.tables import fields, table

WEBHOOK = "msg_p07-1795374235886-0"
ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
SESSION = "acW68-550e8400-e29b-41d4-a716-446655440000"
COLUMNS = ("webhook_id", "type", "room_id", "uuid", "status", "error", "next_attempt_at")
ROWS: list[dict[str, Any]] = [
    {
        **{
            "webhook_id": WEBHOOK,
            "type": "conference.play.volume_changed",
            "room_id": ROOM,
            "uuid": "",
            "status": "failed",
        },
        **{"error": "no address of app.example.com is public", "next_attempt_at": None},
    },
    {
        **{"webhook_id": WEBHOOK, "type": "session.started", "room_id": "", "uuid": SESSION, "status": "retrying"},
        **{"error": "", "next_attempt_at": "2026-05-06T12:34:56.789Z"},
    },
]


@pytest.mark.parametrize("width", [*range(10, 260, 7), 80, 120])
def test_no_id_is_ever_broken(width: int) -> None:
    shown = table(COLUMNS, ROWS, width)
    words = shown.split()
    assert words.count(WEBHOOK) == 2
    assert {ROOM, SESSION, "2026-05-06T12:34:56.789Z", "conference.play.volume_changed"} <= set(words)


def test_where_there_is_room_a_row_is_a_line() -> None:
    head, first, second = table(COLUMNS, ROWS, 260).splitlines()
    assert head.split() == list(COLUMNS)
    assert first.split()[:3] == [WEBHOOK, "conference.play.volume_changed", ROOM]
    # Side by side, each below its name.
    assert second.index(SESSION) == head.index("uuid")


def test_where_space_is_short_text_is_folded_between_words() -> None:
    lines = table(("id", "dids"), [{"id": "demo", "dids": ("747713001", "747713002", "747713003")}], 30).splitlines()
    assert lines == ["id    dids", "demo  747713001, 747713002,", "      747713003"]


def test_where_a_row_is_too_wide_each_value_has_a_line() -> None:
    first, second = table(COLUMNS, ROWS, 80).split("\n\n")
    assert first.splitlines() == [
        f"webhook_id       {WEBHOOK}",
        "type             conference.play.volume_changed",
        f"room_id          {ROOM}",
        "status           failed",
        "error            no address of app.example.com is public",
    ]
    assert f"uuid             {SESSION}" in second.splitlines()


def test_a_long_value_is_folded_between_words_too() -> None:
    dids = [f"74771300{number}" for number in range(9)]
    shown = fields({"webhook_url": "https://app.example.com/a-very-long-path/without-any-space", "dids": dids}, 40)
    assert shown.splitlines() == [
        "webhook_url  https://app.example.com/a-very-long-path/without-any-space",
        "dids         747713000, 747713001,",
        "             747713002, 747713003,",
        "             747713004, 747713005,",
        "             747713006, 747713007,",
        "             747713008",
    ]


def test_in_a_pipe_a_row_is_a_line_with_tabs() -> None:
    lines = table(COLUMNS, ROWS, None).splitlines()
    assert [line.split("\t") for line in lines] == [
        list(COLUMNS),
        [WEBHOOK, "conference.play.volume_changed", ROOM, "", "failed", ROWS[0]["error"], ""],
        [WEBHOOK, "session.started", "", SESSION, "retrying", "", "2026-05-06T12:34:56.789Z"],
    ]


def test_without_rows() -> None:
    assert table(COLUMNS, [], 80) == "none"
    assert table(COLUMNS, [], None) == "\t".join(COLUMNS)


@pytest.mark.parametrize("width", [None, 20, 200])
def test_a_cell_is_one_line_and_acts_on_nothing(width: int | None) -> None:
    nasty = "\x1b[2J\x9b1m\r\n\t[red]\u202e\x07"
    shown = table(("id", "name"), [{"id": "1", "name": nasty}], width) + fields({"name": nasty}, width)
    assert not set(shown) & set("\x1b\x9b\r\u202e\x07")
    assert "[red]" in shown
    assert table(("id", "name"), [{"id": "1", "name": nasty}], None).count("\t") == 2


def test_values_that_are_no_text() -> None:
    row = {"on": True, "off": False, "absent": None, "count": 0, "dids": ("1", "2")}
    assert table(tuple(row), [row], None).splitlines()[1] == "yes\tno\t\t0\t1, 2"
    assert fields(row, None).splitlines() == ["on\tyes", "off\tno", "count\t0", "dids\t1, 2"]
    assert fields(row, 80).splitlines() == ["on      yes", "off     no", "count   0", "dids    1, 2"]
