"""What a chaos run takes for legs as they must be, and what it does not."""

from __future__ import annotations

import pytest

from tests.chaos.legs import LegEnd, Legs, unused_legs, wrong_legs

ROOM = "nodeA-room-1"
SOURCES = {ROOM: "nodeA"}
DIALLED, TAKEN, NOWHERE = LegEnd(ROOM, dialled=True), LegEnd(ROOM, dialled=False), LegEnd("", dialled=False)


@pytest.mark.parametrize(
    ("legs", "members"),
    [
        ({}, set()),
        ({}, {"nodeA"}),
        ({"nodeA": {"1": TAKEN}, "nodeB": {"1": DIALLED}}, {"nodeB"}),
        ({"nodeA": {"1": TAKEN, "2": TAKEN}, "nodeB": {"1": DIALLED}, "nodeC": {"2": DIALLED}}, {"nodeB", "nodeC"}),
    ],
)
def test_a_star_of_legs(legs: Legs, members: set[str]) -> None:
    assert wrong_legs(legs, SOURCES, {ROOM: members}) == []
    assert unused_legs(legs, {ROOM: members}) == []


@pytest.mark.parametrize(
    ("legs", "sources", "what"),
    [
        ({}, SOURCES, "no leg"),
        ({"nodeB": {"1": DIALLED}}, SOURCES, "one end each"),
        ({"nodeA": {"1": NOWHERE}, "nodeB": {"1": DIALLED}}, SOURCES, "in one room"),
        ({"nodeA": {"1": TAKEN}, "nodeB": {"1": TAKEN}}, SOURCES, "one end each"),
        ({"nodeA": {"1": TAKEN, "2": TAKEN}, "nodeB": {"1": DIALLED, "2": DIALLED}}, SOURCES, "2 legs"),
        ({"nodeA": {"1": DIALLED}, "nodeB": {"1": TAKEN}}, SOURCES, "its source is nodeA"),
        ({"nodeA": {"1": TAKEN}, "nodeB": {"1": DIALLED}}, {}, "its source is None"),
    ],
)
def test_other_legs(legs: Legs, sources: dict[str, str], what: str) -> None:
    assert any(what in problem for problem in wrong_legs(legs, sources, {ROOM: {"nodeA", "nodeB"}}))


def test_a_leg_without_members_goes_after_a_while() -> None:
    legs = {"nodeA": {"1": TAKEN}, "nodeB": {"1": DIALLED}}
    assert wrong_legs(legs, SOURCES, {}) == []
    assert len(unused_legs(legs, {})) == 1
