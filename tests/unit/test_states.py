"""The tables of states are whole, and docs/states.md shows them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest

from controller.store import states
from controller.store.states import TABLES, Table

PAGE = (Path(__file__).parents[2] / "docs" / "states.md").read_text()


def diagram(table: Table) -> str:
    """The table as Mermaid draws it. Events that lead the same way share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, events in table.items():
        for event, after in events.items():
            arrows.setdefault((state, after), []).append(event)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(table))}"]
    lines += [f"    {state} --> {after}: {', '.join(events)}" for (state, after), events in arrows.items()]
    lines += [f"    {state} --> [*]" for state, events in table.items() if not events]
    return "\n".join([*lines, "```"])


@pytest.mark.parametrize("name", TABLES)
def test_the_page_shows_every_table(name: str) -> None:
    expected = diagram(TABLES[name])
    assert expected in PAGE, f"docs/states.md should have:\n\n{expected}\n"


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_in_its_table_and_can_be_reached(name: str) -> None:
    table = TABLES[name]
    assert set(list(table)[1:]) <= {after for events in table.values() for after in events.values()} <= set(table)


def test_every_state_has_its_row() -> None:
    kinds: tuple[type[StrEnum], ...] = (states.SessionState, states.PlaybackState, states.UrlState, states.LegState)
    kinds = (*kinds, states.RecordingState, states.DeliveryState)
    assert [list(table) for table in TABLES.values()] == [[str(state) for state in kind] for kind in kinds]


def test_what_the_api_may_show() -> None:
    assert states.SESSION_STATES == ("dialing", "parked", "joining", "joined", "leaving", "transferring", "transferred")
    assert states.PLAYBACK_STATUSES == ("stopped", "playing", "paused")
    assert states.DELIVERY_STATUSES == ("pending", "retrying", "delivered", "failed")
    assert states.LISTED_STATUSES == ("retrying", "delivered", "failed")
